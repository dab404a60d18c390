/* The frame counter: see frames.h. */
#include "gateway/http2/frames.h"

#include <nghttp2/nghttp2.h>

const struct span http2_preface = SPAN_INIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

static enum flood spend(struct frames *frames, enum flood flood, uint64_t now_us)
{
    return budget_spend(&frames->budgets, flood, now_us) ? FLOOD_COUNT : flood;
}

static enum flood on_block(struct frames *frames)
{
    bool first = frames->type != NGHTTP2_CONTINUATION;

    frames->continuations = first ? 0 : frames->continuations + 1;
    frames->block_bytes = (first ? 0 : frames->block_bytes) + frames->left;
    frames->block_open = (frames->flags & NGHTTP2_FLAG_END_HEADERS) == 0;
    return frames->continuations > CONTINUATIONS_MAX || frames->block_bytes > BLOCK_BYTES_MAX
               ? FLOOD_CONTINUATIONS
               : FLOOD_COUNT;
}

static enum flood on_data(struct frames *frames, uint64_t now_us)
{
    frames->data_overhead += FRAME_HEAD_BYTES;
    frames->data_bytes += frames->left;
    if (frames->data_overhead >
        DATA_OVERHEAD_FREE + DATA_OVERHEAD * frames->data_bytes) /* padding comes on top */
        return FLOOD_DATA;
    bool last = (frames->flags & NGHTTP2_FLAG_END_STREAM) != 0;
    return frames->left == 0 && !last ? spend(frames, FLOOD_DATA, now_us) : FLOOD_COUNT;
}

static enum flood on_frame(struct frames *frames, uint64_t now_us)
{
    static const struct {
        bool known;
        enum flood flood;
    } budgets[] = {
        [NGHTTP2_PRIORITY] = { true, FLOOD_PRIORITIES },
        [NGHTTP2_RST_STREAM] = { true, FLOOD_RESETS },
        [NGHTTP2_SETTINGS] = { true, FLOOD_SETTINGS },
        [NGHTTP2_PING] = { true, FLOOD_PINGS },
        [NGHTTP2_WINDOW_UPDATE] = { true, FLOOD_WINDOWS },
    };
    uint8_t type = frames->type;

    if (type == NGHTTP2_HEADERS || type == NGHTTP2_CONTINUATION)
        return on_block(frames);
    frames->block_open = false;
    if (type == NGHTTP2_DATA)
        return on_data(frames, now_us);
    bool known = type < ARRAY_LEN(budgets) && budgets[type].known;
    return spend(frames, known ? budgets[type].flood : FLOOD_UNKNOWN, now_us);
}

static enum flood head_done(struct frames *frames, uint64_t now_us)
{
    const uint8_t *head = frames->head;

    frames->have = 0;
    frames->left = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    frames->type = head[3];
    frames->flags = head[4];
    frames->pad_due = frames->type == NGHTTP2_DATA && frames->left > 0 &&
                      (frames->flags & NGHTTP2_FLAG_PADDED) != 0;
    return on_frame(frames, now_us);
}

/* Padding is no data: it was counted as such when the head was there. */
static void on_pad_length(struct frames *frames, uint8_t length)
{
    uint64_t padding = (uint64_t)length + 1;

    frames->pad_due = false;
    if (padding > frames->left)
        padding = frames->left; /* malformed: nghttp2 ends the connection */
    frames->data_bytes -= padding;
    frames->data_overhead += padding;
}

static struct span skip(struct span input, size_t count)
{
    return span_of(input.p + count, input.len - count);
}

enum flood frames_count(struct frames *frames, struct span input, uint64_t now_us)
{
    if (frames->preface < PREFACE_BYTES) { /* nghttp2 looks at what it says */
        size_t rest = PREFACE_BYTES - (size_t)frames->preface;
        size_t n = input.len < rest ? input.len : rest;
        frames->preface = (uint8_t)(frames->preface + n);
        input = skip(input, n);
    }
    while (input.len > 0) {
        if (frames->left > 0) {
            if (frames->pad_due)
                on_pad_length(frames, (uint8_t)input.p[0]);
            size_t n = input.len < frames->left ? input.len : frames->left;
            frames->left -= (uint32_t)n;
            input = skip(input, n);
            continue;
        }
        if (frames->have == 0 && !frames->block_open)
            frames->since_us = now_us;
        frames->head[frames->have++] = (uint8_t)input.p[0];
        input = skip(input, 1);
        if (frames->have < FRAME_HEAD_BYTES)
            continue;
        enum flood flood = head_done(frames, now_us);
        if (flood != FLOOD_COUNT)
            return flood;
    }
    return FLOOD_COUNT;
}

bool frames_wait(const struct frames *frames)
{
    return frames->have > 0 || frames->block_open ||
           (frames->left > 0 && frames->type != NGHTTP2_DATA);
}
