/* detect.h - resource detectors: what the process can find out about itself and its machine. */
#pragma once
#include "base/sv.h"
#include "sdk/resource.h"

#define DETECTORS_VARIABLE "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"

/* Puts what the detectors of a comma list find over what is in *r. `what` names the list in warnings about unknown names; NULL: an
 * unknown name is an error instead. False: no memory, or that. */
MUST_USE bool resource_detect(struct weir_resource *r, sv names, const char *what, struct err *e);

/* The id of the container in the text of /proc/self/cgroup (v1, or v2 without a namespace of its own) or of
 * /proc/self/mountinfo (v2); SV_NULL when there is none. A view into the text. */
sv container_id_of_cgroup(sv text);
sv container_id_of_mountinfo(sv text);
/* The value of KEY in the text of /etc/os-release, quotes removed; SV_NULL when absent. */
sv os_release_value(sv text, sv key);
/* An id of 32 hex digits as /etc/machine-id has it; SV_NULL when it is anything else. */
sv machine_id_of(sv text);
