/* SPDX-License-Identifier: MIT */
/* Any packet with any number of descriptors, as both ends of a control socket receive it: what is accepted has the length and
 * the descriptors of its type, and ends its strings; of what is refused nothing stays open. */
#include "fuzz.h"
/* Has variables called in and out. */
#include "../unit/control_pair.h"

static void check_accepted(void)
{
    FUZZ_CHECK(fd_count == rk_message_fd_count(in.head.type), "an accepted message has its descriptors");
    if (in.head.type == RK_REFUSED || in.head.type == RK_ENDED || in.head.type == RK_FAILED)
        FUZZ_CHECK(memchr(in.text.text, 0, sizeof(in.text.text)) != NULL, "strings end");
    if (in.head.type == RK_READY)
        for (uint32_t i = 0; i < in.ready.method_count; i++)
            FUZZ_CHECK(memchr(in.ready.entry[i].name, 0, sizeof(in.ready.entry[i].name)) != NULL, "names end");
}

/** One packet: with the head of its type, or raw. */
static void one_packet(struct fuzz_input *input)
{
    uint8_t how = fuzz_byte(input), type = fuzz_byte(input);
    size_t bytes = fuzz_word(input) % 1024;
    memset(&out, 0, sizeof(out));
    fuzz_bytes(input, &out, bytes);
    if (how & 1) {
        bytes = type < RK_MESSAGE_TYPE_COUNT && packet_bytes(type) ? packet_bytes(type) : sizeof(out.head);
        if (how & 2 && bytes + sizeof(struct rk_method_entry) < sizeof(out)) bytes += sizeof(struct rk_method_entry);
        rk_message_init(&out.head, (enum rk_message_type)type, bytes);
    }
    send_raw(&out, bytes, how & 4 ? how >> 3 : rk_message_fd_count(type));
    if (receive() == 0) check_accepted();
    close_received();
    fd_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    int lowest = fuzz_lowest_fd();
    if (set_up(NULL) != 0) return 0;
    for (unsigned i = 0; i < 16 && input.left > 0; i++) one_packet(&input);
    tear_down(NULL);
    FUZZ_CHECK(fuzz_lowest_fd() == lowest, "every descriptor is closed");
    return 0;
}
