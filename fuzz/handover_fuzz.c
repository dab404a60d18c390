/*
 * What one master leaves to the next, with any bytes of it changed. What is taken has only
 * values that may stand there: names that end, flags that are flags, states that there are,
 * counts within their tables. Input: changes of four bytes each, at an offset of three bytes
 * the value of the fourth.
 */
#include <stdlib.h>

#include "gateway/process/handover.h"

static struct handover_state *state;

static void begin(void)
{
    memset(state, 0, sizeof *state);
    handover_describe(state);
    state->master = 1;
    INVARIANT(handover_valid(state));
}

static void check_flag(const bool *flag)
{
    unsigned char byte;

    memcpy(&byte, flag, 1);
    INVARIANT(byte <= 1);
}

static void check_taken(void)
{
    check_flag(&state->announced);
    check_flag(&state->recorder.finishing);
    check_flag(&state->steward.finishing);
    for (size_t i = 0; i < GENERATIONS_MAX; i++)
        INVARIANT(state->generations[i].state <= GENERATION_ENDING &&
                  state->generations[i].drain_ms <= HANDOVER_DRAIN_MAX_MS);
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        check_flag(&state->members[i].orphan);
        check_flag(&state->members[i].told);
    }
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        check_flag(&state->listening[i].serving);
        check_flag(&state->listening[i].lent);
        INVARIANT(strnlen(state->listening[i].path, MESSAGE_NAME_BYTES) < MESSAGE_NAME_BYTES);
    }
    INVARIANT(state->inherited_count <= INHERITED_MAX);
    for (size_t i = 0; i < state->inherited_count; i++) {
        check_flag(&state->inherited[i].dual);
        INVARIANT(strnlen(state->inherited[i].path, MESSAGE_NAME_BYTES) < MESSAGE_NAME_BYTES);
    }
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        check_flag(&state->regions[i].kept);
        INVARIANT(strnlen(state->regions[i].name, MESSAGE_NAME_BYTES) < MESSAGE_NAME_BYTES &&
                  state->regions[i].size <= REGION_BYTES_MAX);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (state == NULL && (state = malloc(sizeof *state)) == NULL)
        return 0;
    begin();
    for (; size >= 4; data += 4, size -= 4) {
        size_t at = (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2];
        ((unsigned char *)state)[at % sizeof *state] = data[3];
    }
    if (handover_valid(state))
        check_taken();
    return 0;
}
