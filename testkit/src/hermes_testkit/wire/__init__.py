"""The forms in which the fake model server speaks, one module a vendor's API and one for what it takes."""
