/* SPDX-License-Identifier: MIT */
/* Which slot comes next: never one that is in use, at any depth; two lines for a caller that waits, every line in turn for a
 * deep pipeline. */
#include "random.h"
#include "slots.h"
#include <rask/limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* A writer, and the lines that its messages in flight lie in. */
struct model {
    uint32_t count;
    uint32_t slot; /* announced */
    uint32_t in_ring;
    uint64_t position; /* next message */
    uint64_t oldest;   /* first message that is not free yet */
    uint32_t line_of[RASK_RING_SLOTS_MAX];
    bool in_use[RASK_RING_SLOTS_MAX + 2]; /* the pair behind the ring */
};

static struct model m;

static void model_start(uint32_t count)
{
    memset(&m, 0, sizeof m);
    m.count = count;
    m.in_ring = 1;
}

static uint32_t depth(void)
{
    return (uint32_t)(m.position - m.oldest);
}

static uint32_t announced_line(void)
{
    return m.slot >= RK_SLOT_PAIR ? m.count + (m.slot & 1) : rk_slot_line(m.slot, m.count - 1);
}

static void publish(void)
{
    uint32_t line = announced_line();
    assert_true(rk_slot_exists(m.slot, m.count - 1) && line < m.count + 2);
    assert_false(m.in_use[line]);
    m.in_use[line] = true;
    m.line_of[m.position % m.count] = line;
    m.slot = rk_slots_next(m.slot, depth(), &m.in_ring, m.count - 1);
    m.position++;
    assert_false(m.in_use[announced_line()]);
}

static void release(void)
{
    m.in_use[m.line_of[m.oldest++ % m.count]] = false;
}

static uint32_t most(void)
{
    return m.count - RK_SLOTS_SPARE;
}

static void walk(uint32_t count, uint64_t *random, unsigned steps)
{
    model_start(count);
    uint32_t wanted = 1;
    for (unsigned step = 0; step < steps; step++) {
        if (step % 16 == 0) wanted = random_below(random, random_below(random, 2) ? 4 : most() + 1);
        bool up = depth() < wanted || random_below(random, 4) == 0;
        if (up && depth() < most())
            publish();
        else if (depth() > 0)
            release();
    }
    while (depth() < most()) publish();
    while (depth() > 0) release();
}

static void test_the_announced_slot_is_never_in_use(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    for (uint32_t count = RASK_RING_SLOTS_MIN; count <= 512; count *= 2)
        for (unsigned round = 0; round < 20; round++) walk(count, &random, 3000);
    walk(RASK_RING_SLOTS_MAX, &random, 20000);
}

static void test_every_slot_has_a_line_of_its_own(void **state)
{
    (void)state;
    for (uint32_t count = RASK_RING_SLOTS_MIN; count <= RASK_RING_SLOTS_MAX; count *= 2) {
        model_start(count);
        for (uint32_t slot = 0; slot < count; slot++) {
            uint32_t line = rk_slot_line(slot, count - 1);
            assert_true(line < count);
            assert_false(m.in_use[line]);
            m.in_use[line] = true;
        }
    }
}

static void test_one_at_a_time_alternates_between_two_slots(void **state)
{
    uint32_t seen[2];
    (void)state;
    model_start(256);
    publish(); /* position 0 is in slot 0 */
    release();
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t line = announced_line();
        if (i < 2) seen[i] = line;
        assert_int_equal(line, seen[i % 2]);
        assert_true(m.slot >= RK_SLOT_PAIR);
        publish();
        release();
    }
    assert_int_not_equal(seen[0], seen[1]);
}

static void test_deep_pipeline_passes_every_slot_in_order(void **state)
{
    enum { COUNT = 256, DEPTH = 32 };
    (void)state;
    model_start(COUNT);
    for (unsigned i = 0; i < DEPTH; i++) publish();
    for (unsigned i = 0; i < 3 * COUNT; i++) {
        uint32_t before = m.slot;
        release();
        publish();
        assert_int_equal(m.slot, (before + 1) % COUNT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_announced_slot_is_never_in_use),
        cmocka_unit_test(test_every_slot_has_a_line_of_its_own),
        cmocka_unit_test(test_one_at_a_time_alternates_between_two_slots),
        cmocka_unit_test(test_deep_pipeline_passes_every_slot_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
