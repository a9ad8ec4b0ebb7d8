"""What botocore raises while it finds credentials and signs, as our errors.

By the names of its classes: which of them there are depends on its version.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, UndefinedModelAttributeError  # type: ignore[import-untyped]

from hermes.contracts.errors import AuthenticationFailed, ConfigError, ConnectionFailed, HermesError, ProviderError
from hermes.contracts.provider import Endpoint
from hermes_carrier.errors import provider_error

from .errors import advised, complaint

RAISED = (BotoCoreError, ClientError, UndefinedModelAttributeError)
"""Everything that it raises of its own."""

CREDENTIALS = frozenset(
    [
        *("NoCredentialsError", "CredentialRetrievalError", "UnknownCredentialError", "RefreshWithMFAUnsupportedError"),
        *("NoAuthTokenError", "TokenRetrievalError", "UnknownTokenProviderError", "MetadataRetrievalError"),
        *("SSOError", "LoginError", "CapacityNotAvailableError"),
    ]
)
"""There are none, they have expired, or whoever gives them out refuses."""
NETWORK = frozenset(["HTTPClientError", "ConnectionError", "IncompleteReadError"])
REFUSED = frozenset(["ClientError"])
"""By STS or SSO, with a code."""
SETTINGS = frozenset(
    [
        *("ProfileNotFound", "ConfigParseError", "ConfigNotFound", "InvalidConfigError", "PartialCredentialsError"),
        *("InvalidIMDSEndpointError", "InvalidIMDSEndpointModeError", "InvalidProxiesConfigError"),
        *("InvalidRetryConfigurationError", "InvalidDefaultsMode", "InvalidSTSRegionalEndpointsConfigError"),
        *("InvalidS3UsEast1RegionalEndpointConfigError", "InvalidEndpointConfigurationError"),
        *("InvalidChecksumConfigError", "InvalidEndpointDiscoveryConfigurationError", "InvalidS3AddressingStyleError"),
        *("BaseEndpointResolverError", "EndpointProviderError", "UnknownRegionError", "ServiceNotInRegionError"),
        *("ValidationError", "MissingDependencyException", "InvalidHostLabelError", "InvalidDNSNameError"),
    ]
)
"""Of ``~/.aws/config``, or of the environment."""
INTERNAL = frozenset(
    [
        *("DataNotFoundError", "ApiVersionNotFoundError", "UnknownServiceStyle", "UnsupportedServiceProtocolsError"),
        *("MissingParametersError", "ParamValidationError", "UnknownClientMethodError", "UndefinedModelAttributeError"),
        *("PaginationError", "OperationNotPageableError", "WaiterError", "WaiterConfigError", "InvalidExpressionError"),
        *("ChecksumError", "FlexibleChecksumError", "AwsChunkedWrapperError", "UnseekableStreamError"),
        *("UnknownSignatureVersionError", "UnsupportedSignatureVersionError", "MD5UnavailableError"),
        *("UnsupportedS3ArnError", "UnsupportedS3ControlArnError", "UnsupportedOutpostResourceError"),
        *("UnsupportedS3ConfigurationError", "UnsupportedS3AccesspointConfigurationError"),
        *("UnsupportedS3ControlConfigurationError", "StubResponseError", "BotoCoreError"),
    ]
)
"""What only other uses of it raise, or a broken installation."""
KINDS = {
    **dict.fromkeys(CREDENTIALS, AuthenticationFailed),
    **dict.fromkeys(NETWORK, ConnectionFailed),
    **dict.fromkeys(REFUSED, ProviderError),
    **dict.fromkeys(SETTINGS | INTERNAL, ConfigError),
}


def failure_of(error: Exception, endpoint: Endpoint) -> HermesError:
    """The error for an exception of botocore's."""
    name = endpoint.provider
    kind = next(KINDS[known.__name__] for known in type(error).__mro__ if known.__name__ in KINDS)
    words = f"{name}: AWS credentials: {error}"
    if isinstance(error, ClientError):
        return _refused(error, endpoint)
    if kind is AuthenticationFailed:
        return advised(AuthenticationFailed(words, provider=name, code=type(error).__name__), endpoint, "")
    if kind is ConnectionFailed:
        return ConnectionFailed(
            words,
            provider=name,
            code=type(error).__name__,
            hint="Check the network, the proxy settings, and the region.",
        )
    return ConfigError(words, hint=f"Check ~/.aws/config and ~/.aws/credentials, and the options of providers.{name}.")


def _refused(error: ClientError, endpoint: Endpoint) -> ProviderError:
    told: Any = error.response
    about, sent = told.get("Error", {}), told.get("ResponseMetadata", {})
    return advised(
        provider_error(
            int(sent.get("HTTPStatusCode") or 0),
            complaint(str(about.get("Code", "")), str(about.get("Message", "")), endpoint),
            endpoint,
            request_id=str(sent.get("RequestId", "")),
        ),
        endpoint,
        "",
    )
