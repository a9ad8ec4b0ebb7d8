"""Qwen (Alibaba Cloud Model Studio), as data: all there is to it is in ``plugin.yaml``."""
