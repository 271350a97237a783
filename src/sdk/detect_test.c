/* detect_test.c - what is found out about process, host and container, from texts as runtimes write them and from this very process. */
#include "sdk/detect.h"
#include "base/test.h"
#include "otlp/walk.h"
#include "sdk/api_test.h"
#include <sys/wait.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"

static void check_cgroup(const char *text, const char *want)
{
    sv got = container_id_of_cgroup(sv_of(text));
    if (!sv_eq(got, sv_of(want)))
        test_fail(__FILE__, __LINE__, "'%s' gives '" SV_FMT "', not '%s'", text, SV_ARG(got), want);
}

TEST(container_ids_of_cgroup)
{
    check_cgroup("12:pids:/docker/" ID "\n11:cpu:/docker/" ID "\n", ID);
    check_cgroup("1:name=systemd:/system.slice/docker-" ID ".scope", ID);
    check_cgroup("0::/system.slice/docker-" ID ".scope\n", ID);
    check_cgroup("11:cpu:/kubepods/besteffort/pod3f0c1b9e-1111-2222-3333-444444444444/" ID, ID);
    check_cgroup("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod3f0c.slice/cri-containerd-" ID ".scope", ID);
    check_cgroup("9:memory:/system.slice/containerd.service/kubepods-burstable-pod3f0c.slice:cri-containerd:" ID, ID);
    check_cgroup("0::/kubepods.slice/kubepods-pod1.slice/crio-" ID ".scope", ID);
    check_cgroup("0::/machine.slice/libpod-" ID ".scope/container", ID);
    check_cgroup("0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", ID);
    check_cgroup("0::/docker/" ID2 "/docker/" ID "/init", ID); /* a container in a container: the inner one */
    check_cgroup("5:cpu:/ecs/1a2b/0123456789abcdef0123456789abcdef-1234567890", "0123456789abcdef0123456789abcdef-1234567890");
    static const char *const none[] = {
        "", "\n\n::\n", "0::/", "0::/user.slice/user-1000.slice/session-3.scope", "1:x", "0::/docker/" ID "0", "0::/docker/x" ID,
        "0::/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef", "0::/docker/0123456789abcdef",
        "0::/machine.slice/libpod-conmon-" ID ".scope", "0::/x/0123456789abcdef0123456789abcdef-12x", "0::/docker/" ID "\x01",
    };
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        check_cgroup(none[i], "");
}

TEST(container_ids_of_mountinfo)
{
#define TAIL " rw,relatime - ext4 /dev/sda1 rw\n"
    static const char *const has[] = {
        "600 500 8:1 /var/lib/docker/containers/" ID "/hostname /etc/hostname" TAIL,
        "599 500 0:9 / / rw - overlay overlay rw\n600 500 8:1 /docker/volumes/containers/" ID "/resolv.conf /etc/resolv.conf" TAIL,
        "600 500 0:25 /containers/overlay-containers/" ID "/userdata/hostname /etc/hostname" TAIL,
        "600 500 0:25 /containers/storage/overlay-containers/" ID "/userdata/.containerenv /run/.containerenv" TAIL,
    };
    static const char *const none[] = {
        "", " \n", "600 500 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/" ID "/hostname /etc/hostname" TAIL,
        "600 500 8:1 / /var/lib/docker/containers/" ID "/mounts/shm" TAIL, /* the host's view of its containers */
        "600 500 8:1 /var/lib/docker/containers/" ID "/data /data" TAIL,   "600 500 8:1 /containers/" ID "0/hostname /etc/hostname" TAIL,
    };
    for (size_t i = 0; i < ARRAY_LEN(has); i++)
        CHECK_SV(container_id_of_mountinfo(sv_of(has[i])), SV(ID));
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        CHECK_EQ(container_id_of_mountinfo(sv_of(none[i])).n, 0);
}

TEST(os_release_and_machine_id)
{
    sv text = SV("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\r\nNAMES=x\nNAME='Debian'\n VERSION_ID=12 \nBAD=\"\nEND=\"open");
    CHECK_SV(os_release_value(text, SV("PRETTY_NAME")), SV("Debian GNU/Linux 12 (bookworm)"));
    CHECK_SV(os_release_value(text, SV("NAME")), SV("Debian"));
    CHECK_SV(os_release_value(text, SV("VERSION_ID")), SV("12"));
    CHECK_SV(os_release_value(text, SV("BAD")), SV("\""));
    CHECK_SV(os_release_value(text, SV("END")), SV("\"open"));
    CHECK(os_release_value(text, SV("VERSION")).p == NULL);
    CHECK_SV(machine_id_of(SV("0123456789abcdef0123456789abcdef\n")), SV("0123456789abcdef0123456789abcdef"));
    CHECK_EQ(machine_id_of(SV("uninitialized\n")).n, 0);
    CHECK_EQ(machine_id_of(SV("0123456789abcdef0123456789abcdeg")).n, 0);
    CHECK_EQ(machine_id_of(SV("")).n, 0);
}

static const weir_value *get(const weir_resource *r, const char *key)
{
    size_t n;
    const weir_attr *a = weir_resource_attributes(r, &n);
    for (size_t i = 0; i < n; i++)
        if (sv_eq(sv_of_weir(a[i].key), sv_of(key)))
            return &a[i].value;
    return NULL;
}
static sv text_of(const weir_resource *r, const char *key)
{
    const weir_value *v = get(r, key);
    return v && v->kind == WEIR_STRING ? sv_of_weir(v->as.string) : SV_NULL;
}

TEST(this_process_and_its_host)
{
    weir_error e = {""};
    weir_resource *r = weir_resource_detect("process, HOST,os", &e);
    char host[300] = "";
    REQUIRE(r != NULL);
    CHECK(get(r, "process.pid") && get(r, "process.pid")->as.integer == getpid());
    CHECK(get(r, "process.parent_pid") && get(r, "process.parent_pid")->as.integer == getppid());
    CHECK_SV(text_of(r, "process.executable.name"), SV("sdk_detect_test"));
    CHECK(sv_ends(text_of(r, "process.executable.path"), SV("/sdk_detect_test")));
    const weir_value *args = get(r, "process.command_args");
    REQUIRE(args && args->kind == WEIR_ARRAY && args->as.array.size >= 1);
    CHECK_SV(sv_of_weir(args->as.array.data[0].as.string), text_of(r, "process.command"));
    gethostname(host, sizeof host - 1);
    CHECK_SV(text_of(r, "host.name"), sv_of(host));
    CHECK(text_of(r, "host.arch").n > 0);
    CHECK_SV(text_of(r, "os.type"), SV("linux"));
    CHECK(!get(r, "service.instance.id"));
    weir_resource_free(r);

    r = weir_resource_detect("all", &e);
    REQUIRE(r != NULL);
    CHECK(get(r, "process.pid") && text_of(r, "service.instance.id").n == 36);
    weir_resource_free(r);
    r = weir_resource_detect("", &e);
    REQUIRE(r != NULL && !get(r, "process.pid"));
    weir_resource_free(r);
    CHECK(weir_resource_detect("process,planet", &e) == NULL);
    CHECK(strstr(e.message, "no resource detector 'planet': there are service, process") != NULL);
}

TEST(the_environment_chooses_detectors_and_wins_over_them)
{
    setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "planet,host , process", 1); /* what is unknown costs a warning only */
    setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=mine", 1);
    weir_resource *r = weir_resource_default();
    REQUIRE(r != NULL);
    CHECK_SV(text_of(r, "host.name"), SV("mine"));
    CHECK(get(r, "process.pid") && get(r, "host.arch"));
    weir_resource_free(r);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=mine,bad=%zz", 1); /* a decoding error costs the whole variable */
    r = weir_resource_default();
    REQUIRE(r != NULL);
    CHECK(!sv_eq(text_of(r, "host.name"), SV("mine")) && get(r, "host.name"));
    weir_resource_free(r);
    unsetenv("OTEL_RESOURCE_ATTRIBUTES");
    r = weir_resource_detect(NULL, NULL);
    CHECK(get(r, "process.pid") && get(r, "host.name") && !get(r, "os.type"));
    weir_resource_free(r);
    unsetenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS");
    r = weir_resource_default();
    CHECK(!get(r, "process.pid")); /* nothing unasked */
    weir_resource_free(r);
}

/* What goes out for the provider's resource: the attribute's value. */
static struct otlp_value sent(const weir_provider *p, const char *key)
{
    static struct buf out;
    struct batch_writer w;
    struct otlp_resource_logs rl;
    struct otlp_attr a;
    buf_reset(&out);
    batch_begin(&w, &out, p);
    batch_end(&w, &out);
    struct otlp_iter it = otlp_resources(buf_view(&out));
    if (otlp_next_resource(&it, &rl))
        for (struct otlp_attr_iter at = otlp_attrs(rl.resource, OTLP_RESOURCE_ATTRS); otlp_next_attr(&at, &a);)
            if (sv_eq(a.key, sv_of(key)))
                return otlp_read_value(a.value);
    return (struct otlp_value){0};
}

/* True in a process whose provider speaks of this process, with another instance id than `not_id`. */
static bool speaks_of_itself(const weir_provider *p, const char *not_id)
{
    sv id = sent(p, "service.instance.id").text;
    return sent(p, "process.pid").i == getpid() && sent(p, "process.parent_pid").i == getppid() && id.n == 36 &&
           memcmp(id.p, not_id, 36) != 0 && sv_eq(sent(p, "host.name").text, SV("mine"));
}

TEST(a_forked_child_speaks_of_itself)
{
    struct seen s;
    char id[37] = "";
    weir_attr own[] = {weir_str("host.name", "mine"), weir_i64("process.pid.of.other", getpid())};
    weir_resource *user = weir_resource_new(own, 2, NULL), *found = weir_resource_detect("process,host,service", NULL);
    weir_resource *both = weir_resource_merge(found, user);
    weir_provider_options o = weir_provider_options_init();
    o.resource = both;
    weir_provider *p = seen_provider(&s, &o);
    CHECK(speaks_of_itself(p, "------------------------------------"));
    memcpy(id, sent(p, "service.instance.id").text.p, 36);
    int64_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        bool ok = speaks_of_itself(p, id) && sent(p, "process.pid.of.other").i == parent;
        ok = ok && get(p->resource, "process.pid")->as.integer == getpid(); /* what processors see */
        struct seen late;
        weir_provider *q = seen_provider(&late, &o); /* a resource that the parent made */
        ok = ok && speaks_of_itself(q, id);
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(speaks_of_itself(p, id) && speaks_of_itself(q, id) ? 0 : 1);
        int status = -1;
        _exit(waitpid(grandchild, &status, 0) == grandchild && status == 0 && ok ? 0 : 1);
    }
    REQUIRE(child > 0);
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    CHECK(memcmp(sent(p, "service.instance.id").text.p, id, 36) == 0); /* the parent stays who it is */
    weir_provider_free(p);
    weir_resource_free(user);
    weir_resource_free(found);
    weir_resource_free(both);
    seen_done(&s);
}

static void check_child_keeps(weir_provider *p, struct otlp_value pid)
{
    pid_t child = fork();
    if (child == 0) {
        struct otlp_value got = sent(p, "process.pid");
        bool same = got.kind == pid.kind && (pid.kind == OTLP_INT ? got.i == pid.i : sv_eq(got.text, pid.text));
        bool rest = sent(p, "process.parent_pid").i == getppid() && sv_eq(sent(p, "service.instance.id").text, SV("i"));
        _exit(same && rest ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK_EQ(status, 0);
    weir_provider_free(p);
}

TEST(what_program_or_environment_gave_is_not_changed)
{
    struct seen s;
    weir_attr own[] = {weir_i64("process.pid", 1), weir_str("service.instance.id", "i")};
    weir_resource *user = weir_resource_new(own, 2, NULL);
    weir_provider_options o = weir_provider_options_init();
    o.resource = user;
    setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "process", 1);
    check_child_keeps(seen_provider(&s, &o), (struct otlp_value){.kind = OTLP_INT, .i = 1});
    seen_done(&s);
    setenv("OTEL_RESOURCE_ATTRIBUTES", "process.pid=text,service.instance.id=i", 1);
    check_child_keeps(seen_provider(&s, NULL), (struct otlp_value){.kind = OTLP_STRING, .text = SV("text")});
    seen_done(&s);
    unsetenv("OTEL_RESOURCE_ATTRIBUTES");
    unsetenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS");
    weir_resource_free(user);
}
