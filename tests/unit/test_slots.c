/* SPDX-License-Identifier: MIT */
/* The writer's account of its slots, against a model: never a slot that is in use, always the announced one, at any depth
 * and wherever the counters stand. */
#include "random.h"
#include "slots.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

/* What the test knows about the writer of `slots`. */
struct model {
    struct rk_slots slots;
    uint32_t count;
    uint64_t position; /* next message */
    uint64_t oldest;   /* first message that is not free yet */
    uint32_t announced;
    uint16_t *slot_of; /* by position % count */
    bool *in_use;
    void *memory;
};

static void model_start(struct model *m, uint32_t count, uint64_t position, uint64_t queue_start)
{
    *m = (struct model){.count = count, .position = position, .oldest = position};
    m->memory = malloc(rk_slots_bytes(count));
    m->slot_of = calloc(count, sizeof *m->slot_of);
    m->in_use = calloc(count, sizeof *m->in_use);
    assert_true(m->memory != NULL && m->slot_of != NULL && m->in_use != NULL);
    rk_slots_init(&m->slots, count, m->memory);
    assert_int_equal(m->slots.next, 0);
    /* The queue's counters only matter modulo the number of slots. */
    m->slots.oldest += queue_start;
    m->slots.youngest += queue_start;
}

static void model_end(struct model *m)
{
    free(m->memory);
    free(m->slot_of);
    free(m->in_use);
}

static uint32_t depth(const struct model *m)
{
    return (uint32_t)(m->position - m->oldest);
}

static void publish(struct model *m)
{
    uint32_t slot = m->slots.next;
    assert_int_equal(slot, m->announced);
    assert_true(slot < m->count);
    assert_false(m->in_use[slot]);
    m->in_use[slot] = true;
    m->slot_of[m->position % m->count] = (uint16_t)slot;
    m->announced = rk_slots_next(&m->slots, depth(m));
    rk_slots_advance(&m->slots, m->position, depth(m));
    assert_true(m->announced < m->count);
    assert_false(m->in_use[m->announced]);
    m->position++;
    for (uint64_t position = m->oldest; position < m->position; position++)
        assert_int_equal(rk_slots_of(&m->slots, position), m->slot_of[position % m->count]);
}

static void release(struct model *m)
{
    m->in_use[m->slot_of[m->oldest % m->count]] = false;
    rk_slots_free(&m->slots, m->oldest++);
}

/* A walk with changing depth: bursts up, drains, ping-pong. At most count - 1 messages are in flight. */
static void walk(uint32_t count, uint64_t position, uint64_t queue_start, uint64_t *random, unsigned steps)
{
    struct model m;
    model_start(&m, count, position, queue_start);
    uint32_t wanted = 1;
    for (unsigned step = 0; step < steps; step++) {
        if (step % 16 == 0) wanted = random_below(random, count);
        bool up = depth(&m) < wanted || (depth(&m) < count - 1 && random_below(random, 4) == 0);
        if (up && depth(&m) < count - 1)
            publish(&m);
        else if (depth(&m) > 0)
            release(&m);
    }
    while (depth(&m) < count - 1) publish(&m);
    while (depth(&m) > 0) release(&m);
    model_end(&m);
}

static void test_random_depths_agree_with_a_model(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    static const uint32_t counts[] = {8, 16, 64, 256};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) walk(counts[i], 0, 0, &random, 5000);
    walk(RASK_RING_SLOTS_MAX, 0, 0, &random, 2000);
}

static void test_counters_near_their_wrap_agree_with_a_model(void **state)
{
    (void)state;
    uint64_t random = random_seed();
    static const uint64_t starts[] = {UINT16_MAX - 20ull, UINT32_MAX - 20ull, (1ull << 48) - 20};
    for (uint32_t count = 8; count <= 256; count *= 2) {
        for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
            walk(count, starts[i], starts[i] / count * count, &random, 500);
        walk(count, UINT64_MAX - 5000, 0ull - 2 * count, &random, 500);
    }
}

static void test_one_at_a_time_alternates_between_two_slots(void **state)
{
    struct model m;
    uint32_t seen[2];
    (void)state;
    model_start(&m, 256, 0, 0);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t slot = m.slots.next;
        if (i < 2) seen[i] = slot;
        assert_int_equal(slot, seen[i % 2]);
        publish(&m);
        release(&m);
    }
    assert_int_not_equal(seen[0], seen[1]);
    model_end(&m);
}

static void test_deep_pipeline_passes_every_slot_in_the_same_order(void **state)
{
    enum { COUNT = 64, DEPTH = 32 };
    struct model m;
    uint16_t round[COUNT];
    (void)state;
    model_start(&m, COUNT, 0, 0);
    for (unsigned i = 0; i < DEPTH; i++) publish(&m);
    for (unsigned i = 0; i < 4 * COUNT; i++) { /* past the start, whose first steps are shallow */
        release(&m);
        publish(&m);
    }
    for (unsigned i = 0; i < 3 * COUNT; i++) {
        release(&m);
        if (i >= COUNT) assert_int_equal(m.slots.next, round[i % COUNT]);
        round[i % COUNT] = (uint16_t)m.slots.next;
        publish(&m);
    }
    model_end(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_depths_agree_with_a_model),
        cmocka_unit_test(test_counters_near_their_wrap_agree_with_a_model),
        cmocka_unit_test(test_one_at_a_time_alternates_between_two_slots),
        cmocka_unit_test(test_deep_pipeline_passes_every_slot_in_the_same_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL) != 0;
}
