/* SPDX-License-Identifier: MIT */
/* boost::interprocess::message_queue for C. Functions return 0 or a negative errno. */
#ifndef RK_BOOST_QUEUE_H
#define RK_BOOST_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct boost_queue;

/** The name is gone at once; the memory stays with whoever has the object or was forked with it. */
int boost_queue_create(struct boost_queue **out, const char *name, uint32_t depth, size_t size);
int boost_queue_send(struct boost_queue *queue, const uint8_t *data, size_t bytes);
/** Waits asleep, or looks again and again. */
int boost_queue_receive(struct boost_queue *queue, uint8_t *data, size_t size, size_t *bytes, bool spin);
/** NULL is allowed. */
void boost_queue_destroy(struct boost_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
