/* SPDX-License-Identifier: MIT */
/* Answers of streams between the moment they come and the moment the caller releases them: a table of their own, so that
 * they take no place from requests. What is in it is bounded by what the caller sent: a stream takes no more items while
 * queue_max answers wait, and emissions stay in their ring. */
#include "error.h"
#include "events.h"
#include "stream.h"
#include <errno.h>
#include <string.h>

/** Far more than streams may have waiting; memory is touched as needed. */
#define ANSWERS_MAX (1u << 20)

int rk_answers_init(struct rk_streams *streams)
{
    return rk_tickets_init(&streams->answers, ANSWERS_MAX);
}

struct rk_ticket *rk_answer_add(struct rask_stream *stream, uint64_t user_data)
{
    struct rk_tickets *answers = &stream->s->streams->answers;
    struct rk_ticket *answer = rk_ticket_take(answers);
    if (answer == NULL) return NULL;
    answer->state = RK_TICKET_DONE;
    answer->user_data = user_data;
    answer->status = RASK_OK;
    answer->code = 0;
    answer->response = answer->bytes;
    answer->response_block = RK_BLOCK_NONE;
    answer->key = stream->index;
    rk_list_push_back(answers, &stream->answers, answer);
    stream->answered++;
    stream->s->finished++;
    if (stream->s->events != NULL) rk_events_disturb(stream->s);
    return answer;
}

void rk_answer_from(struct rask_stream *stream, struct rk_ticket *item)
{
    if (stream->closed) return;
    struct rk_ticket *answer = rk_answer_add(stream, item->user_data);
    if (answer == NULL) return;
    answer->status = item->status;
    answer->code = item->code;
    answer->executed = item->executed;
    answer->response_length = item->response_length;
    if (item->response_block == RK_BLOCK_NONE) {
        memcpy(answer->bytes, item->bytes, sizeof answer->bytes);
        return;
    }
    answer->response = item->response;
    answer->response_block = item->response_block;
    answer->response_generation = item->response_generation;
    answer->view_of = item->view_of;
    item->view_of = NULL; /* the answer holds the view now */
}

static void drop(struct rask *s, struct rk_ticket *answer)
{
    if (answer->view_of != NULL)
        rk_responses_release(answer->view_of, answer->response_block, answer->response_generation);
    answer->view_of = NULL;
    rk_ticket_put(&s->streams->answers, answer);
}

void rk_answer_release(struct rask *s, uint64_t id)
{
    if (s->streams == NULL) return;
    struct rk_ticket *answer = rk_ticket_find(&s->streams->answers, id & ~(uint64_t)RK_ANSWER_BIT);
    if (answer != NULL && answer->state == RK_TICKET_HELD) drop(s, answer);
}

void rk_answers_drop(struct rask_stream *stream)
{
    struct rk_ticket *answer;
    while ((answer = rk_list_first(&stream->s->streams->answers, &stream->answers)) != NULL) {
        rk_list_remove(&stream->s->streams->answers, &stream->answers, answer);
        drop(stream->s, answer);
    }
}
