/* SPDX-License-Identifier: MIT */
/* Answers of streams between the moment they come and the moment the caller releases them: they take no place from requests.
 * Made in chunks as needed. How many there may be follows from what the caller sent: a stream takes no more items while queue_max of
 * its answers wait, and emissions stay in their ring. */
#include "error.h"
#include "events.h"
#include "stream.h"
#include <stdlib.h>
#include <string.h>

#define CHUNK 256u

static uint64_t memory_of(const struct rk_answer *answer)
{
    return answer->view_of != NULL ? rk_class_bytes(rk_class_of(answer->length)) : 0;
}

/** No memory: an answer must not get lost unseen, so the session ends. */
static struct rk_answer *give_up(struct rask *s)
{
    rk_settle_end(s, "out of memory for answers of streams");
    return NULL;
}

static bool make_chunk(struct rk_streams *streams)
{
    if (streams->chunks == RK_ANSWER_CHUNKS) return false;
    struct rk_answer *chunk = calloc(CHUNK, sizeof *chunk);
    if (chunk == NULL) return false;
    for (uint32_t i = CHUNK; i-- > 0;) {
        chunk[i].id = streams->chunks * CHUNK + i;
        chunk[i].next = streams->spare;
        streams->spare = &chunk[i];
    }
    streams->chunk[streams->chunks++] = chunk;
    return true;
}

struct rk_answer *rk_answer_add(struct rask_stream *stream, uint64_t user_data)
{
    struct rk_streams *streams = stream->s->streams;
    if (streams->spare == NULL && !make_chunk(streams)) return give_up(stream->s);
    struct rk_answer *answer = streams->spare;
    streams->spare = answer->next;
    answer->id += 1ull << 32; /* another generation */
    answer->next = NULL;
    answer->user_data = user_data;
    answer->view.block = RK_BLOCK_NONE;
    answer->view_of = NULL;
    if (stream->last_answer != NULL)
        stream->last_answer->next = answer;
    else
        stream->first_answer = answer;
    stream->last_answer = answer;
    stream->waiting_answers++;
    stream->answered++;
    stream->s->finished++;
    if (stream->s->events != NULL) rk_events_disturb(stream->s);
    return answer;
}

void rk_answer_view(struct rask_stream *stream, struct rk_answer *answer, const struct rk_view *view,
                    struct rk_responses *view_of)
{
    answer->data = view->data;
    answer->view = *view;
    answer->view_of = view_of;
    stream->waiting_bytes += memory_of(answer);
}

void rk_answer_from(struct rask_stream *stream, struct rk_ticket *item)
{
    if (stream->closed) return;
    struct rk_answer *answer = rk_answer_add(stream, item->user_data);
    if (answer == NULL) return;
    answer->status = item->status;
    answer->code = item->code;
    answer->executed = item->executed;
    answer->length = item->response_length;
    answer->data = answer->bytes;
    if (item->response_block == RK_BLOCK_NONE) {
        memcpy(answer->bytes, item->bytes, sizeof answer->bytes);
        return;
    }
    const struct rk_view view = {item->response, item->response_block, item->response_generation};
    rk_answer_view(stream, answer, &view, item->view_of);
    item->view_of = NULL; /* the answer holds the view now */
}

/** Its memory goes back, and it may be used again. */
static void drop(struct rask *s, struct rk_answer *answer)
{
    if (answer->view_of != NULL) rk_responses_release(answer->view_of, answer->view.block, answer->view.generation);
    answer->view_of = NULL;
    answer->held = false;
    answer->next = s->streams->spare;
    s->streams->spare = answer;
}

static struct rk_answer *pop(struct rask_stream *stream)
{
    struct rk_answer *answer = stream->first_answer;
    if (answer == NULL) return NULL;
    stream->first_answer = answer->next;
    if (answer->next == NULL) stream->last_answer = NULL;
    stream->waiting_answers--;
    stream->waiting_bytes -= memory_of(answer);
    return answer;
}

bool rk_answer_take(struct rask_stream *stream, struct rask_completion *out)
{
    struct rk_answer *answer = pop(stream);
    if (answer == NULL) return false;
    answer->held = true;
    *out = (struct rask_completion){
        .ticket = answer->id | RK_ANSWER_BIT,
        .user_data = answer->user_data,
        .data = answer->data,
        .length = answer->length,
        .status = answer->status,
        .code = answer->code,
        .executed = answer->executed,
    };
    return true;
}

void rk_answer_release(struct rask *s, uint64_t id)
{
    uint32_t index = (uint32_t)id & ~RK_ANSWER_BIT;
    if (s->streams == NULL || index / CHUNK >= s->streams->chunks) return;
    struct rk_answer *answer = &s->streams->chunk[index / CHUNK][index % CHUNK];
    if (answer->held && answer->id == (id & ~(uint64_t)RK_ANSWER_BIT)) drop(s, answer);
}

void rk_answers_drop(struct rask_stream *stream)
{
    struct rk_answer *answer;
    while ((answer = pop(stream)) != NULL) drop(stream->s, answer);
}

void rk_answers_destroy(struct rk_streams *streams, bool forked)
{
    for (uint32_t i = 0; i < streams->chunks; i++) {
        for (uint32_t k = 0; k < CHUNK; k++)
            if (!forked && streams->chunk[i][k].view_of != NULL)
                rk_responses_release(streams->chunk[i][k].view_of, RK_BLOCK_NONE, 0);
        free(streams->chunk[i]);
    }
}
