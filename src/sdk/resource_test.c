/* resource_test.c - resources, the environment, and the exporter's settings. */
#include "sdk/resource.h"
#include "base/test.h"
#include "sdk/encode.h"
#include "sdk/env.h"
#include "sdk/otlp_options.h"

static sv value_of(const weir_resource *r, const char *key)
{
    size_t n;
    const weir_attr *a = weir_resource_attributes(r, &n);
    for (size_t i = 0; i < n; i++)
        if (sv_eq(sv_of_weir(a[i].key), sv_of(key)))
            return sv_of_weir(a[i].value.as.string);
    return SV_NULL;
}

static void clear_env(void)
{
    extern char **environ;
    for (char **v = environ; *v;)
        if (strncmp(*v, "OTEL_", 5) == 0) {
            char name[200];
            snprintf(name, sizeof name, "%.*s", (int)strcspn(*v, "="), *v);
            unsetenv(name);
        } else {
            v++;
        }
}

TEST(defaults_come_under_the_environment)
{
    clear_env();
    weir_resource *r = weir_resource_default();
    REQUIRE(r != NULL);
    CHECK_SV(value_of(r, "service.name"), SV("unknown_service:sdk_resource_test"));
    CHECK_SV(value_of(r, "telemetry.sdk.version"), SV(WEIR_VERSION));
    sv id = value_of(r, "service.instance.id");
    CHECK(id.n == 36 && id.p[14] == '4' && strchr("89ab", id.p[19]) != NULL);
    weir_resource_free(r);

    setenv("OTEL_RESOURCE_ATTRIBUTES", " service.name=fromlist , service.instance.id=i%2C1,empty=, dep=prod%20x", 1);
    r = weir_resource_default();
    REQUIRE(r != NULL);
    CHECK_SV(value_of(r, "service.name"), SV("fromlist"));
    CHECK_SV(value_of(r, "service.instance.id"), SV("i,1"));
    CHECK_SV(value_of(r, "dep"), SV("prod x"));
    CHECK(value_of(r, "empty").p != NULL);
    weir_resource_free(r);

    setenv("OTEL_SERVICE_NAME", "fromname", 1);
    r = weir_resource_default();
    REQUIRE(r != NULL);
    CHECK_SV(value_of(r, "service.name"), SV("fromname"));
    weir_resource_free(r);

    setenv("OTEL_RESOURCE_ATTRIBUTES", "good=1,bad", 1); /* one bad pair costs the whole variable */
    r = weir_resource_default();
    REQUIRE(r != NULL);
    CHECK(value_of(r, "good").p == NULL);
    weir_resource_free(r);
    clear_env();
}

TEST(merging_lets_the_second_win)
{
    weir_attr a[] = {weir_str("x", "1"), weir_str("y", "1"), weir_str("x", "1b")}, b[] = {weir_str("y", ""), weir_i64("z", 3)};
    weir_resource *ra = weir_resource_new(a, 3, "https://a"), *rb = weir_resource_new(b, 2, NULL);
    weir_resource *m = weir_resource_merge(ra, rb);
    size_t n;
    REQUIRE(m != NULL);
    weir_resource_attributes(m, &n);
    CHECK_EQ(n, 3);
    CHECK_SV(value_of(m, "x"), SV("1b"));
    CHECK_EQ(value_of(m, "y").n, 0);
    CHECK_STR(weir_resource_schema_url(m), "https://a");
    weir_resource *rc = weir_resource_new(NULL, 0, "https://c"), *clash = weir_resource_merge(m, rc);
    CHECK_STR(weir_resource_schema_url(clash), "");
    weir_resource *none = weir_resource_merge(NULL, NULL);
    CHECK(weir_resource_attributes(none, &n) == NULL && n == 0);
    weir_resource_free(none);
    weir_resource_free(ra);
    weir_resource_free(rb);
    weir_resource_free(rc);
    weir_resource_free(m);
    weir_resource_free(clash);
    weir_resource_free(NULL);
}

TEST(numbers_and_booleans_of_the_environment)
{
    int64_t v = 7;
    setenv("OTEL_X", "12", 1);
    setenv("OTEL_Y", "13", 1);
    CHECK(env_i64("OTEL_X", "OTEL_Y", 0, 100, &v) && v == 12);
    setenv("OTEL_X", "", 1); /* empty is unset */
    CHECK(env_i64("OTEL_X", "OTEL_Y", 0, 100, &v) && v == 13);
    static const char *const bad[] = {"x", "-1", "101", "1.5", "99999999999999999999"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        setenv("OTEL_X", bad[i], 1);
        CHECK(!env_i64("OTEL_X", NULL, 0, 100, &v));
    }
    CHECK_EQ(v, 13);
    setenv("OTEL_X", "True", 1);
    CHECK(env_bool("OTEL_X", NULL));
    setenv("OTEL_X", "1", 1);
    CHECK(!env_bool("OTEL_X", NULL));
    unsetenv("OTEL_X");
    unsetenv("OTEL_Y");
}

static void check_url(const char *option, int insecure, weir_otlp_protocol protocol, const char *want)
{
    struct otlp_settings s;
    struct err e = {0};
    weir_otlp_options o = weir_otlp_options_init();
    o.endpoint = option;
    o.protocol = protocol;
    o.insecure = insecure;
    bool ok = otlp_settings_resolve(&o, &s, &e);
    if (!want) {
        CHECK(!ok);
        return;
    }
    REQUIRE_OK(ok, &e);
    CHECK_STR(s.endpoints.at[0].url, want);
    otlp_settings_done(&s);
}
#define GRPC_PATH "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

TEST(endpoints)
{
    clear_env();
    check_url(NULL, 0, WEIR_OTLP_DEFAULT, "http://localhost:4317" GRPC_PATH);
    check_url(NULL, 0, WEIR_OTLP_HTTP_PROTOBUF, "http://localhost:4318/v1/logs");
    check_url("https://c:1/ignored", 0, WEIR_OTLP_GRPC, "https://c:1" GRPC_PATH);
    check_url("HTTP://c:1", -1, WEIR_OTLP_GRPC, "http://c:1" GRPC_PATH);
    check_url("c:4317", 0, WEIR_OTLP_GRPC, "https://c:4317" GRPC_PATH);
    check_url("c:4317", 1, WEIR_OTLP_GRPC, "http://c:4317" GRPC_PATH);
    check_url("http://c/own/path", 0, WEIR_OTLP_HTTP_PROTOBUF, "http://c/own/path");
    check_url("http://c", 0, WEIR_OTLP_HTTP_PROTOBUF, "http://c/");
    check_url("c:4318", 0, WEIR_OTLP_HTTP_PROTOBUF, NULL);
    check_url("file:///etc/passwd", 0, WEIR_OTLP_GRPC, NULL);
    check_url("http://", 0, WEIR_OTLP_GRPC, NULL);
    check_url("http://a b", 0, WEIR_OTLP_GRPC, NULL);
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://base:4318/x/", 1);
    check_url(NULL, 0, WEIR_OTLP_HTTP_PROTOBUF, "http://base:4318/x/v1/logs");
    check_url(NULL, 0, WEIR_OTLP_DEFAULT, "http://base:4318" GRPC_PATH);
    setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4318", 1);
    setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", 1);
    check_url(NULL, 0, WEIR_OTLP_DEFAULT, "http://logs:4318/");
    setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "grpc", 1);
    check_url(NULL, 0, WEIR_OTLP_DEFAULT, "http://logs:4318" GRPC_PATH);
    setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json", 1);
    check_url(NULL, 0, WEIR_OTLP_DEFAULT, "http://logs:4318/");
    setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/xml", 1);
    check_url(NULL, 0, WEIR_OTLP_DEFAULT, NULL);
    clear_env();
    setenv("OTEL_EXPORTER_OTLP_INSECURE", "true", 1);
    check_url("c:4317", 0, WEIR_OTLP_GRPC, "http://c:4317" GRPC_PATH);
    check_url("c:4317", -1, WEIR_OTLP_GRPC, "https://c:4317" GRPC_PATH);
    clear_env();
}

TEST(several_endpoints)
{
    struct otlp_settings s;
    struct err e = {0};
    weir_otlp_options o = weir_otlp_options_init();
    clear_env();
    o.endpoint = " http://me:secret@a:1/x?key=secret , ,https://b:2,";
    o.protocol = WEIR_OTLP_HTTP_PROTOBUF;
    setenv("WEIR_EXPORTER_OTLP_BALANCE", "Round_Robin", 1);
    REQUIRE_OK(otlp_settings_resolve(&o, &s, &e), &e);
    CHECK_EQ(s.endpoints.n, 2);
    CHECK_STR(s.endpoints.at[0].url, "http://me:secret@a:1/x?key=secret");
    CHECK_STR(s.endpoints.at[0].name, "http://a:1/x");
    CHECK_STR(s.endpoints.at[1].url, "https://b:2/");
    CHECK_EQ(s.balance, WEIR_OTLP_ROUND_ROBIN);
    CHECK_EQ(s.failback_ms, 30000);
    CHECK_EQ(s.max_retry_after_ms, 300000);
    otlp_settings_done(&s);
    setenv("WEIR_EXPORTER_OTLP_BALANCE", "fair", 1); /* a warning */
    o.protocol = WEIR_OTLP_GRPC;
    REQUIRE_OK(otlp_settings_resolve(&o, &s, &e), &e);
    CHECK_EQ(s.balance, WEIR_OTLP_FAILOVER);
    CHECK_STR(s.endpoints.at[0].name, "http://a:1");
    otlp_settings_done(&s);
    o.endpoint = ", ,";
    CHECK(!otlp_settings_resolve(&o, &s, &e));
    CHECK_ERR(&e, ERR_INVALID, "endpoint: ', ,' names no address");
    o.endpoint = "http://a,http://b,gopher://c";
    CHECK(!otlp_settings_resolve(&o, &s, &e));
    CHECK_ERR(&e, ERR_INVALID, "'gopher://c' begins with");
    o.endpoint = NULL;
    setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1,http://b:2/x", 1);
    o.protocol = WEIR_OTLP_HTTP_JSON;
    REQUIRE_OK(otlp_settings_resolve(&o, &s, &e), &e);
    CHECK_STR(s.endpoints.at[0].url, "http://a:1/v1/logs");
    CHECK_STR(s.endpoints.at[1].url, "http://b:2/x/v1/logs");
    otlp_settings_done(&s);
    SCOPED(buf_done) struct buf many = {0};
    for (int i = 0; i <= OTLP_MAX_ENDPOINTS; i++)
        buf_fmt(&many, "http://h%d,", i);
    buf_char(&many, 0);
    o.endpoint = many.p;
    CHECK(!otlp_settings_resolve(&o, &s, &e));
    CHECK_ERR(&e, ERR_LIMIT, "endpoint: more than 32 addresses");
    unsetenv("WEIR_EXPORTER_OTLP_BALANCE");
    clear_env();
}

TEST(headers_timeouts_and_compression)
{
    struct otlp_settings s;
    struct err e = {0};
    weir_otlp_options o = weir_otlp_options_init();
    clear_env();
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "Api-Key=a%20b , x=1=2,bad=line%0abreak", 1);
    setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1234", 1);
    setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", 1);
    setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca", 1);
    REQUIRE_OK(otlp_settings_resolve(&o, &s, &e), &e);
    CHECK_EQ(s.timeout_ms, 1234);
    CHECK_EQ(s.headers.n, 2);
    CHECK_STR(s.headers.at[0], "api-key: a b");
    CHECK_STR(s.headers.at[1], "x: 1=2");
    CHECK_STR(s.ca_file, "/ca");
    CHECK(s.gzip != NULL);
    otlp_settings_done(&s);
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "novalue", 1);
    CHECK(!otlp_settings_resolve(&o, &s, &e));
    CHECK_ERR(&e, ERR_PARSE, "OTEL_EXPORTER_OTLP_HEADERS: 'novalue' is not key=value");
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=%zz", 1);
    CHECK(!otlp_settings_resolve(&o, &s, &e));
    clear_env();
    setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", 1);
    o.compression = "none";
    o.timeout_ms = 5;
    REQUIRE_OK(otlp_settings_resolve(&o, &s, &e), &e);
    CHECK(s.gzip == NULL);
    clear_env();
    CHECK_EQ(s.timeout_ms, 5);
    otlp_settings_done(&s);
}
