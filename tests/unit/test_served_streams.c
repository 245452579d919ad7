/* SPDX-License-Identifier: MIT */
/* Streams as a worker serves them, against a client that is the test itself (forged_client.h): it opens twice, marks what it likes and
 * names any stream. A plugin's on_close() comes once for each on_open(), whatever it does. */
#include "forged_client.h"
#include "serve_streams.h"

static void expect(uint8_t kind, uint16_t stream, uint8_t cancel, bool fine)
{
    struct rk_request_slot *slot = fill(&one, one.position);
    slot->kind = kind;
    slot->method = (uint16_t)(stream << 8);
    slot->cancel = cancel;
    publish(&one, slot);
    if (serve_streams_one(&one) != fine) fail_msg("kind %u of stream %u: %s", kind, stream, rask_last_error());
}

static int start_one(void **state)
{
    serve_streams_start();
    return set_up(state);
}

static void test_one_after_the_other(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 3; i++) {
        expect(RK_REQUEST_OPEN, 5, 0, true);
        expect(RK_REQUEST_ITEM, 5, 0, true);
        expect(RK_REQUEST_ITEM, 5, RK_CANCEL_RETRACT, true);
        expect(i == 1 ? RK_REQUEST_CUT : RK_REQUEST_END, 5, 0, true);
    }
    assert_int_equal(streams_opened, 3);
    assert_int_equal(streams_closed, 3);
    assert_int_equal(streams_worker.page->streams, 0);
    assert_int_equal(streams_worker.page->items, 3);
}

static void test_open_that_was_taken_back(void **unused)
{
    (void)unused;
    expect(RK_REQUEST_OPEN, 5, RK_CANCEL_STOP, true);
    expect(RK_REQUEST_ITEM, 5, 0, true);
    expect(RK_REQUEST_CUT, 5, 0, true);
    expect(RK_REQUEST_OPEN, 5, 0, true);
    assert_int_equal(streams_opened, 1);
    assert_int_equal(streams_worker.page->items, 0);
}

static void test_what_does_not_fit(void **unused)
{
    (void)unused;
    static const struct {
        uint8_t kind;
        uint16_t stream;
        uint8_t cancel;
    } wrong[] = {{RK_REQUEST_OPEN, 5, 0},  {RK_REQUEST_OPEN, 5, RK_CANCEL_STOP},
                 {RK_REQUEST_OPEN, 64, 0}, {RK_REQUEST_OPEN, 255, 1},
                 {RK_REQUEST_ITEM, 6, 0},  {RK_REQUEST_END, 6, 0},
                 {RK_REQUEST_CUT, 6, 0},   {RK_REQUEST_ITEM, 64, 0},
                 {RK_REQUEST_ITEM, 255, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (i > 0) start_one(NULL);
        expect(RK_REQUEST_OPEN, 5, 0, true);
        expect(wrong[i].kind, wrong[i].stream, wrong[i].cancel, false);
        rk_streams_close_all(&streams_worker, one.served);
        assert_int_equal(streams_opened, 1);
        assert_int_equal(streams_closed, 1);
        assert_int_equal(streams_worker.page->streams, 0);
        if (i + 1 < sizeof wrong / sizeof wrong[0]) tear_down(NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_after_the_other, start_one, tear_down),
        cmocka_unit_test_setup_teardown(test_open_that_was_taken_back, start_one, tear_down),
        cmocka_unit_test_setup_teardown(test_what_does_not_fit, start_one, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
