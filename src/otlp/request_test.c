/* request_test.c - from a body to a batch, and the answers of a receiver. */
#include "otlp/request.h"
#include "base/clock.h"
#include "base/test.h"
#include "otlp/write.h"

static void put_record(struct buf *b, sv trace_id, sv span_id)
{
    size_t rl = otlp_open(b, 1), sl = otlp_open(b, 2), lr = otlp_open(b, 2);
    otlp_put_bytes(b, 3, SV("INFO"));
    otlp_put_bytes(b, 9, trace_id);
    otlp_put_bytes(b, 10, span_id);
    otlp_put_attr_str(b, OTLP_RECORD_ATTRS, SV("k"), SV("v"));
    otlp_close(b, lr);
    otlp_close(b, sl);
    otlp_put_bytes(b, 3, SV("schema"));
    otlp_close(b, rl);
}

static struct batch *decode(enum otlp_encoding enc, enum codec codec, sv body, uint64_t max, struct err *e)
{
    struct batch *b = NULL;
    return otlp_decode_request(enc, codec, body, max, NULL, SV("tenant"), 42, &b, e) ? b : NULL;
}

TEST(content_types)
{
    enum otlp_encoding enc;
    CHECK(otlp_encoding_of(SV("application/x-protobuf"), &enc) && enc == OTLP_PROTOBUF);
    CHECK(otlp_encoding_of(SV("Application/JSON ; charset=utf-8"), &enc) && enc == OTLP_JSON);
    CHECK(!otlp_encoding_of(SV("application/protobuf"), &enc));
    CHECK(!otlp_encoding_of(SV("text/plain"), &enc));
    CHECK(!otlp_encoding_of(SV_NULL, &enc));
}

TEST(protobuf_passes_as_it_is)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    put_record(&b, SV("0123456789abcdef"), SV_NULL);
    put_record(&b, SV_NULL, SV("01234567"));
    struct batch *got = decode(OTLP_PROTOBUF, CODEC_NONE, buf_view(&b), 0, &e);
    REQUIRE(got != NULL);
    CHECK_SV(got->bytes, buf_view(&b));
    CHECK_SV(got->tenant, SV("tenant"));
    CHECK_EQ(got->n_records, 2);
    CHECK_EQ(got->arrived_wall_ns, 42);
    batch_unref(batch_ref(got));
    batch_unref(got);
    got = decode(OTLP_PROTOBUF, CODEC_NONE, SV_NULL, 0, &e);
    REQUIRE(got != NULL);
    CHECK_EQ(got->n_records, 0);
    batch_unref(got);
}

TEST(ids_of_a_wrong_length_are_left_out)
{
    SCOPED(buf_done) struct buf b = {0}, clean = {0};
    struct err e = {0};
    struct otlp_counts counts;
    put_record(&b, SV("0123456789abcdef"), SV("01234567"));
    put_record(&b, SV("short"), SV("012345678"));
    struct batch *got = decode(OTLP_PROTOBUF, CODEC_NONE, buf_view(&b), 0, &e);
    REQUIRE(got != NULL);
    CHECK_OK(otlp_check(got->bytes, NULL, &counts, &e), &e);
    CHECK_EQ(counts.records, 2);
    CHECK_EQ(counts.bad_ids, 0);
    put_record(&clean, SV("0123456789abcdef"), SV("01234567"));
    CHECK(sv_starts(got->bytes, buf_view(&clean))); /* the good one is untouched */
    CHECK(sv_find(got->bytes, SV("short")) == SV_NPOS);
    CHECK(sv_ends(got->bytes, SV("schema")));
    batch_unref(got);
}

TEST(json_is_transcoded)
{
    struct err e = {0};
    sv json = SV("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"hi\"}}]}]}]}");
    struct batch *got = decode(OTLP_JSON, CODEC_NONE, json, 0, &e);
    REQUIRE(got != NULL);
    CHECK_EQ(got->n_records, 1);
    CHECK(sv_find(got->bytes, SV("\x0a\x02hi")) != SV_NPOS);
    batch_unref(got);
    CHECK(!decode(OTLP_JSON, CODEC_NONE, SV("{"), 0, &e));
    CHECK_EQ(e.code, ERR_PARSE);
}

TEST(compressed_bodies)
{
    SCOPED(buf_done) struct buf b = {0}, packed = {0};
    struct err e = {0};
    for (int i = 0; i < 100; i++)
        put_record(&b, SV_NULL, SV_NULL);
    CHECK_OK(compress(CODEC_GZIP, 0, buf_view(&b), &packed, &e), &e);
    struct batch *got = decode(OTLP_PROTOBUF, CODEC_GZIP, buf_view(&packed), b.n, &e);
    REQUIRE(got != NULL);
    CHECK_EQ(got->n_records, 100);
    batch_unref(got);
    CHECK(!decode(OTLP_PROTOBUF, CODEC_GZIP, buf_view(&packed), b.n - 1, &e));
    CHECK_EQ(e.code, ERR_LIMIT);
    CHECK(!decode(OTLP_PROTOBUF, CODEC_GZIP, SV("nonsense"), 0, &e));
    CHECK_EQ(e.code, ERR_PARSE);
}

TEST(size_is_capped)
{
    SCOPED(buf_done) struct buf b = {0};
    struct err e = {0};
    put_record(&b, SV_NULL, SV_NULL);
    CHECK(!decode(OTLP_PROTOBUF, CODEC_NONE, buf_view(&b), b.n - 1, &e));
    CHECK_EQ(e.code, ERR_LIMIT);
    struct batch *got = decode(OTLP_PROTOBUF, CODEC_NONE, buf_view(&b), b.n, &e);
    CHECK(got != NULL);
    batch_unref(got);
}

TEST(receivers_answer_by_kind_of_failure)
{
    static const struct {
        enum push_code code;
        enum err_code err;
        int grpc, http;
    } rows[] = {
        {PUSH_SENT, ERR_NONE, 0, 200},
        {PUSH_RETRY, ERR_FULL, 14, 503},
        {PUSH_REJECTED, ERR_PARSE, 3, 400},
        {PUSH_REJECTED, ERR_INVALID, 3, 400},
        {PUSH_REJECTED, ERR_LIMIT, 8, 400},
        {PUSH_REJECTED, ERR_CORRUPT, 13, 500},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct push_result r = {.code = rows[i].code, .err = {.code = rows[i].err}};
        CHECK_EQ(grpc_code_of_push(&r), rows[i].grpc);
        CHECK_EQ(http_status_of_push(&r), rows[i].http);
        CHECK_EQ(push_code_of_http(rows[i].http), rows[i].code); /* a client of ours reads it back */
        CHECK_EQ(push_code_of_grpc(rows[i].grpc, false), rows[i].code);
    }
}
