"""Resource: what emits. Immutable attributes and a schema URL."""
from __future__ import annotations

import abc
import json
import logging
import os
import platform
import sys
from types import MappingProxyType
from typing import Any, List, Mapping, Optional

from weir import _weir
from weir.attributes import BoundedAttributes

CONTAINER_ID = 'container.id'
CONTAINER_NAME = 'container.name'
DEPLOYMENT_ENVIRONMENT = 'deployment.environment'
HOST_ARCH = 'host.arch'
HOST_ID = 'host.id'
HOST_NAME = 'host.name'
KUBERNETES_NAMESPACE_NAME = 'k8s.namespace.name'
KUBERNETES_POD_NAME = 'k8s.pod.name'
OS_TYPE = 'os.type'
OS_VERSION = 'os.version'
PROCESS_COMMAND = 'process.command'
PROCESS_COMMAND_ARGS = 'process.command_args'
PROCESS_COMMAND_LINE = 'process.command_line'
PROCESS_EXECUTABLE_NAME = 'process.executable.name'
PROCESS_EXECUTABLE_PATH = 'process.executable.path'
PROCESS_PARENT_PID = 'process.parent_pid'
PROCESS_PID = 'process.pid'
PROCESS_RUNTIME_DESCRIPTION = 'process.runtime.description'
PROCESS_RUNTIME_NAME = 'process.runtime.name'
PROCESS_RUNTIME_VERSION = 'process.runtime.version'
SERVICE_INSTANCE_ID = 'service.instance.id'
SERVICE_NAME = 'service.name'
SERVICE_NAMESPACE = 'service.namespace'
SERVICE_VERSION = 'service.version'
TELEMETRY_SDK_LANGUAGE = 'telemetry.sdk.language'
TELEMETRY_SDK_NAME = 'telemetry.sdk.name'
TELEMETRY_SDK_VERSION = 'telemetry.sdk.version'

_log = logging.getLogger(__name__)


class Resource:
    def __init__(self, attributes: Mapping[str, Any], schema_url: Optional[str] = None) -> None:
        self._attributes = MappingProxyType(BoundedAttributes(None, attributes).copy())
        self._schema_url = schema_url or ''
        self._made_up_id: Optional[str] = None  # a service.instance.id of ours: a forked child takes another

    @staticmethod
    def create(attributes: Optional[Mapping[str, Any]] = None, schema_url: Optional[str] = None) -> 'Resource':
        """The SDK's defaults, under OTEL_RESOURCE_ATTRIBUTES, under OTEL_SERVICE_NAME, under `attributes`."""
        defaults, _, made_up = _weir.default_resource()
        defaults[TELEMETRY_SDK_LANGUAGE] = 'python'
        resource = Resource(defaults)
        resource._made_up_id = made_up
        return resource.merge(Resource(attributes or {}, schema_url))

    @staticmethod
    def get_empty() -> 'Resource':
        return _EMPTY

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self._attributes

    @property
    def schema_url(self) -> str:
        return self._schema_url

    def merge(self, other: 'Resource') -> 'Resource':
        """Both; `other` wins. Of two different schema URLs none can be right: the result is this resource."""
        if self._schema_url and other._schema_url and self._schema_url != other._schema_url:
            _log.error('resources with the schema URLs %s and %s cannot be merged', self._schema_url, other._schema_url)
            return self
        merged = Resource({**self._attributes, **other._attributes}, self._schema_url or other._schema_url)
        for made_up in (other._made_up_id, self._made_up_id):
            if made_up and merged._attributes.get(SERVICE_INSTANCE_ID) == made_up:
                merged._made_up_id = made_up
        return merged

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Resource):
            return NotImplemented
        return self._attributes == other._attributes and self._schema_url == other._schema_url

    def __hash__(self) -> int:
        return hash((self._schema_url, repr(sorted(self._attributes.items()))))

    def __repr__(self) -> str:
        return f'Resource({dict(self._attributes)!r}, {self._schema_url!r})'

    def to_json(self, indent: Optional[int] = 4) -> str:
        return json.dumps({'attributes': dict(self._attributes), 'schema_url': self._schema_url}, indent=indent, default=str)


_EMPTY = Resource({})


class ResourceDetector(abc.ABC):
    def __init__(self, raise_on_error: bool = False) -> None:
        self.raise_on_error = raise_on_error

    @abc.abstractmethod
    def detect(self) -> Resource:
        """What it found."""


class OTELResourceDetector(ResourceDetector):
    """OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME."""

    def detect(self) -> Resource:
        found, _, made_up = _weir.default_resource()
        if not os.environ.get('OTEL_SERVICE_NAME') and found.get(SERVICE_NAME, '').startswith('unknown_service'):
            found.pop(SERVICE_NAME)
        if found.get(SERVICE_INSTANCE_ID) == made_up:
            found.pop(SERVICE_INSTANCE_ID)
        return Resource({k: v for k, v in found.items() if not k.startswith('telemetry.sdk.')})


class ProcessResourceDetector(ResourceDetector):
    """The process; its arguments only when asked for, since they may hold secrets."""

    def __init__(self, raise_on_error: bool = False, *, include_command_args: bool = False) -> None:
        super().__init__(raise_on_error)
        self._include_command_args = include_command_args

    def detect(self) -> Resource:
        version = '.'.join(map(str, sys.version_info[:3] if sys.version_info[3] == 'final' else sys.version_info))
        command = list(getattr(sys, 'orig_argv', sys.argv))
        found = {
            PROCESS_RUNTIME_NAME: sys.implementation.name, PROCESS_RUNTIME_VERSION: version,
            PROCESS_RUNTIME_DESCRIPTION: sys.version,
            PROCESS_PID: os.getpid(), PROCESS_PARENT_PID: os.getppid(), PROCESS_EXECUTABLE_PATH: sys.executable or '',
            PROCESS_EXECUTABLE_NAME: os.path.basename(sys.executable or ''), PROCESS_COMMAND: command[0] if command else '',
        }
        if self._include_command_args:
            found[PROCESS_COMMAND_ARGS] = command
            found[PROCESS_COMMAND_LINE] = ' '.join(command)
        return Resource(found)


class OsResourceDetector(ResourceDetector):
    def detect(self) -> Resource:
        return Resource({OS_TYPE: platform.system().lower(), OS_VERSION: platform.release()})


class ServiceInstanceIdResourceDetector(ResourceDetector):
    def detect(self) -> Resource:
        defaults, _, made_up = _weir.default_resource()
        resource = Resource({SERVICE_INSTANCE_ID: made_up or defaults[SERVICE_INSTANCE_ID]})
        resource._made_up_id = made_up
        return resource


def get_aggregated_resources(detectors: List[ResourceDetector], initial_resource: Optional[Resource] = None,
                             timeout: int = 5) -> Resource:
    """What the detectors find, over `initial_resource`; later ones win. A detector that fails is left out, unless it asks to
    raise."""
    resource = initial_resource or _EMPTY
    for detector in detectors:
        try:
            resource = resource.merge(detector.detect())
        except Exception:
            _log.exception('%s failed', type(detector).__name__)
            if detector.raise_on_error:
                raise
    return resource
