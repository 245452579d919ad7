// SPDX-License-Identifier: MIT
// See boost_queue.h. Exceptions stay in here.
#include "boost_queue.h"
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>
#include <new>

using boost::interprocess::message_queue;

struct boost_queue {
    message_queue queue;
    boost_queue(const char *name, uint32_t depth, size_t size)
        : queue(boost::interprocess::create_only, name, depth, size)
    {
    }
};

int boost_queue_create(struct boost_queue **out, const char *name, uint32_t depth, size_t size)
try {
    *out = new boost_queue(name, depth, size);
    message_queue::remove(name);
    return 0;
} catch (const boost::interprocess::interprocess_exception &error) {
    return error.get_native_error() != 0 ? -error.get_native_error() : -EIO;
} catch (const std::bad_alloc &) {
    return -ENOMEM;
}

int boost_queue_send(struct boost_queue *queue, const uint8_t *data, size_t bytes)
try {
    queue->queue.send(data, bytes, 0);
    return 0;
} catch (const boost::interprocess::interprocess_exception &) {
    return -EIO;
}

int boost_queue_receive(struct boost_queue *queue, uint8_t *data, size_t size, size_t *bytes, bool spin)
try {
    unsigned int priority;
    message_queue::size_type got = 0;
    if (!spin)
        queue->queue.receive(data, size, got, priority);
    else
        while (!queue->queue.try_receive(data, size, got, priority)) continue;
    *bytes = got;
    return 0;
} catch (const boost::interprocess::interprocess_exception &) {
    return -EIO;
}

void boost_queue_destroy(struct boost_queue *queue)
{
    delete queue;
}
