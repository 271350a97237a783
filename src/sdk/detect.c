/* detect.c - see detect.h and weir_resource_detect() in weir/sdk.h. Names: semantic conventions, "Process", "Host", "Operating
 * System", "Container", "Service".
 * (1) What cannot be found out is left out: only a lack of memory fails.
 * (2) Files of the system are read up to a cap, and only if they are regular; the parsers take text and know no file.
 * The conventions' process.runtime.* is not here: a C program has no runtime beside itself. */
#include "sdk/detect.h"
#include "base/log.h"
#include "sdk/encode.h"
#include "sdk/env.h"
#include "sdk/pipeline.h"
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FILE_MAX (256 << 10)
#define ARGS_MAX 256         /* arguments, */
#define ARGS_BYTES_MAX 16384 /* and bytes of them in all, that go with every batch */

/* As much of a file as `max` allows; false: none of it. */
static bool read_text(const char *path, size_t max, struct buf *ret)
{
    struct stat st;
    buf_reset(ret);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return false;
    ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? 1 : 0;
    while (got > 0 && ret->n < max) {
        size_t want = MIN(max - ret->n, (size_t)4096);
        char *to = buf_reserve(ret, want);
        got = to ? read(fd, to, want) : 0;
        ret->n += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    return ret->n > 0;
}

/* Adds a text, unless it is empty. */
static bool put(struct weir_resource *r, const char *key, sv text)
{
    return !text.n || resource_set(r, weir_strn(key, text.p, text.n));
}

static bool is_hex(sv s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= '0' && s.p[i] <= '9') && !(s.p[i] >= 'a' && s.p[i] <= 'f'))
            return false;
    return true;
}

/* ---- service ---- */

static bool detect_service(struct weir_resource *r)
{
    const char *name = env_get("OTEL_SERVICE_NAME");
    return put(r, "service.name", sv_of(name)) && (r->made_up_instance_id.n || resource_make_up_instance_id(r));
}

/* ---- process ---- */

static bool put_args(struct weir_resource *r)
{
    weir_value args[ARGS_MAX];
    size_t n = 0;
    SCOPED(buf_done) struct buf text = {0};
    if (!read_text("/proc/self/cmdline", ARGS_BYTES_MAX, &text))
        return true;
    for (sv rest = buf_view(&text); rest.n && n < ARGS_MAX; n++) {
        sv arg = sv_cut(&rest, 0);
        args[n] = weir_value_strn(arg.p, arg.n);
    }
    return put(r, "process.command", sv_of_weir(args[0].as.string)) &&
           resource_set(r, weir_array("process.command_args", args, n));
}

static bool put_owner(struct weir_resource *r)
{
    struct passwd entry, *found = NULL;
    char room[4096];
    return getpwuid_r(geteuid(), &entry, room, sizeof room, &found) != 0 || !found ||
           put(r, "process.owner", sv_of(entry.pw_name));
}

static bool detect_process(struct weir_resource *r)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe);
    sv path = sv_make(exe, n > 0 && (size_t)n < sizeof exe ? (size_t)n : 0);
    size_t slash = sv_rfind_char(path, '/');
    r->pid = getpid();
    r->parent_pid = getppid();
    r->made_in = getpid();
    return resource_set(r, weir_i64("process.pid", r->pid)) && resource_set(r, weir_i64("process.parent_pid", r->parent_pid)) &&
           put(r, "process.executable.path", path) &&
           put(r, "process.executable.name", slash == SV_NPOS ? path : sv_from(path, slash + 1)) && put_args(r) && put_owner(r);
}

/* ---- host ---- */

sv machine_id_of(sv text)
{
    text = sv_trim(text);
    return text.n == 32 && is_hex(text) ? text : SV_NULL;
}

/* uname's word in the conventions' terms; an unknown one as it is. */
static sv arch_of(const char *machine)
{
    static const char *const names[][2] = {
        {"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv6l", "arm32"}, {"armv7l", "arm32"},   {"armv8l", "arm32"},   {"i386", "x86"},
        {"i486", "x86"},     {"i586", "x86"},      {"i686", "x86"},     {"ppc64le", "ppc64"}, {"ppc", "ppc32"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(machine, names[i][0]) == 0)
            return sv_of(names[i][1]);
    return sv_of(machine);
}

static bool detect_host(struct weir_resource *r)
{
    struct utsname u;
    SCOPED(buf_done) struct buf text = {0};
    sv id = SV_NULL;
    static const char *const places[] = {"/etc/machine-id", "/var/lib/dbus/machine-id"};
    for (size_t i = 0; i < ARRAY_LEN(places) && !id.n; i++)
        if (read_text(places[i], 64, &text))
            id = machine_id_of(buf_view(&text));
    if (!put(r, "host.id", id))
        return false;
    return uname(&u) != 0 || (put(r, "host.name", sv_of(u.nodename)) && put(r, "host.arch", arch_of(u.machine)));
}

/* ---- operating system ---- */

sv os_release_value(sv text, sv key)
{
    while (text.n) {
        sv line = sv_trim(sv_cut(&text, '\n'));
        if (!sv_starts(line, key) || line.n == key.n || line.p[key.n] != '=')
            continue;
        sv value = sv_from(line, key.n + 1);
        bool quoted = value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'') && value.p[value.n - 1] == value.p[0];
        return quoted ? sv_sub(value, 1, value.n - 2) : value;
    }
    return SV_NULL;
}

static bool detect_os(struct weir_resource *r)
{
    SCOPED(buf_done) struct buf text = {0};
    if (!read_text("/etc/os-release", 16384, &text))
        (void)read_text("/usr/lib/os-release", 16384, &text);
    sv t = buf_view(&text);
    return put(r, "os.type", SV("linux")) && put(r, "os.name", os_release_value(t, SV("NAME"))) &&
           put(r, "os.version", os_release_value(t, SV("VERSION_ID"))) &&
           put(r, "os.description", os_release_value(t, SV("PRETTY_NAME")));
}

/* ---- container ---- */

static bool is_id(sv s)
{
    return s.n == 64 && is_hex(s);
}

/* The id in one directory's name: "<id>", "docker-<id>.scope", "cri-containerd-<id>.scope", "crio-<id>.scope", "libpod-<id>.scope",
 * "kubepods-….slice:cri-containerd:<id>", or what AWS Fargate has, "<32 hex digits>-<number>". */
static sv id_of_name(sv name)
{
    if (name.n > 33 && name.n <= 33 + 20 && name.p[32] == '-' && is_hex(sv_sub(name, 0, 32))) {
        uint64_t number;
        return sv_to_u64(sv_from(name, 33), &number) ? name : SV_NULL;
    }
    if (sv_ends(name, SV(".scope")))
        name = sv_sub(name, 0, name.n - 6);
    sv id = name.n < 64 ? SV_NULL : sv_from(name, name.n - 64);
    if (!is_id(id))
        return SV_NULL;
    bool alone = name.n == 64 || name.p[name.n - 65] == '-' || name.p[name.n - 65] == ':';
    bool monitor = sv_ends(sv_sub(name, 0, name.n - 64), SV("conmon-")); /* beside the container, not in it */
    return alone && !monitor ? id : SV_NULL;
}

sv container_id_of_cgroup(sv text)
{
    while (text.n) {
        sv path = sv_cut(&text, '\n'); /* number:controllers:path */
        (void)sv_cut(&path, ':');
        (void)sv_cut(&path, ':');
        for (size_t slash; path.n && (slash = sv_rfind_char(path, '/')) != SV_NPOS; path = sv_sub(path, 0, slash)) {
            sv id = id_of_name(sv_from(path, slash + 1)); /* innermost first */
            if (id.n)
                return id;
        }
    }
    return SV_NULL;
}

/* Where runtimes mount a file of the container's own directory. */
static bool is_told_place(sv mount_point)
{
    return sv_eq(mount_point, SV("/etc/hostname")) || sv_eq(mount_point, SV("/etc/hosts")) ||
           sv_eq(mount_point, SV("/etc/resolv.conf")) || sv_eq(mount_point, SV("/run/.containerenv"));
}

/* A mount of …/containers/<id>/hostname (docker) or …/overlay-containers/<id>/userdata/hostname (podman, cri-o). What containerd
 * mounts there for Kubernetes is of the pod's sandbox, …/sandboxes/<id>/hostname: another id, which is not taken. */
sv container_id_of_mountinfo(sv text)
{
    while (text.n) {
        sv line = sv_cut(&text, '\n');
        for (int i = 0; i < 3; i++) /* mount id, parent id, device */
            (void)sv_cut(&line, ' ');
        sv root = sv_cut(&line, ' '), point = sv_cut(&line, ' ');
        if (!is_told_place(point))
            continue;
        for (sv before = SV_NULL; root.n;) {
            sv name = sv_cut(&root, '/');
            if (is_id(name) && sv_ends(before, SV("containers")))
                return name;
            before = name;
        }
    }
    return SV_NULL;
}

static bool detect_container(struct weir_resource *r)
{
    SCOPED(buf_done) struct buf text = {0};
    sv id = SV_NULL;
    if (read_text("/proc/self/cgroup", FILE_MAX, &text))
        id = container_id_of_cgroup(buf_view(&text));
    if (!id.n && read_text("/proc/self/mountinfo", FILE_MAX, &text))
        id = container_id_of_mountinfo(buf_view(&text));
    return put(r, "container.id", id);
}

/* ---- all ---- */

static const struct detector {
    const char *name;
    bool (*run)(struct weir_resource *r);
} detectors[] = {
    {"service", detect_service}, {"process", detect_process}, {"host", detect_host}, {"os", detect_os}, {"container", detect_container},
};

bool resource_detect(struct weir_resource *r, sv names, const char *what, struct err *e)
{
    while (names.n) {
        sv name = sv_trim(sv_cut(&names, ','));
        bool all = sv_eq(name, SV("*")) || sv_eq_nocase(name, SV("all")), known = all || !name.n;
        for (size_t i = 0; i < ARRAY_LEN(detectors); i++) {
            if (!all && !sv_eq_nocase(name, sv_of(detectors[i].name)))
                continue;
            known = true;
            if (!detectors[i].run(r))
                return err_nomem(e);
        }
        if (!known && !what)
            return err_set(e, ERR_INVALID, "no resource detector '" SV_FMT "': there are service, process, host, os, container and all",
                           SV_ARG(name));
        if (!known)
            log_warn("sdk", "%s: '" SV_FMT "' is not known here (service, process, host, os, container and all are): ignored", what,
                     SV_ARG(name));
    }
    return true;
}

weir_resource *weir_resource_detect(const char *names, weir_error *ret_error)
{
    struct err e = {0};
    struct weir_resource *r = resource_empty();
    const char *list = names ? names : env_get(DETECTORS_VARIABLE);
    if (r && resource_detect(r, sv_of(list), names ? NULL : DETECTORS_VARIABLE, &e))
        return r;
    error_set(ret_error, "%s", r ? e.msg : "out of memory");
    weir_resource_free(r);
    return NULL;
}
