/* The state of a master, and what of it can be right: see handover.h. */
#include "gateway/process/handover.h"

#include "gateway/audit/seal.h"
#include "gateway/process/settings.h"

void handover_describe(struct handover_state *state)
{
    state->layout = HANDOVER_LAYOUT;
    state->size = sizeof(*state);
    state->layouts[0] = SLOTS_LAYOUT;
    state->layouts[1] = SEAL_LAYOUT;
    state->layouts[2] = KEPT_LAYOUT;
    state->sizes[0] = sizeof(struct slots);
    state->sizes[1] = sizeof(struct seal_memory);
    state->sizes[2] = sizeof(struct kept);
}

static bool layout_is_ours(const struct handover_state *state)
{
    struct handover_state ours;

    handover_describe(&ours);
    return state->layout == ours.layout && state->size == ours.size &&
           memcmp(state->layouts, ours.layouts, sizeof(ours.layouts)) == 0 &&
           memcmp(state->sizes, ours.sizes, sizeof(ours.sizes)) == 0;
}

/* A byte with another value is no bool, and must not be read as one. */
static bool is_flag(const bool *flag)
{
    return *(const unsigned char *)flag <= 1;
}

static bool is_fd(int32_t fd)
{
    return fd >= -1;
}

static bool name_ends(const char name[MESSAGE_NAME_BYTES])
{
    return memchr(name, '\0', MESSAGE_NAME_BYTES) != NULL;
}

static bool service_is_right(const struct saved_service *service)
{
    return service->pid >= 0 && is_fd(service->socket) && is_fd(service->settings_fd) &&
           is_flag(&service->finishing);
}

static bool generations_are_right(const struct saved_generation *generations)
{
    for (size_t i = 0; i < GENERATIONS_MAX; i++) {
        const struct saved_generation *one = &generations[i];
        if (one->state > GENERATION_ENDING || one->pid < 0 || !is_fd(one->socket) ||
            one->drain_ms > HANDOVER_DRAIN_MAX_MS)
            return false;
    }
    return true;
}

static bool members_are_right(const struct member *members)
{
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        const struct member *one = &members[i];
        if (one->pid < 0 || !is_flag(&one->orphan) || !is_flag(&one->told) ||
            !is_fd(one->control_fd))
            return false;
    }
    return true;
}

static bool listening_is_right(const struct listening *listening)
{
    for (size_t i = 0; i < LISTENING_MAX; i++) {
        const struct listening *one = &listening[i];
        if (!is_fd(one->fd) || one->addr.family > ADDR_UNIX || !name_ends(one->path) ||
            !is_flag(&one->serving) || !is_flag(&one->loading) || !is_flag(&one->lent))
            return false;
    }
    return true;
}

static bool inherited_is_right(const struct handover_state *state)
{
    if (state->inherited_count > INHERITED_MAX)
        return false;
    for (size_t i = 0; i < state->inherited_count; i++) {
        const struct inherited *one = &state->inherited[i];
        if (!is_fd(one->fd) || one->addr.family > ADDR_UNIX || !is_flag(&one->dual) ||
            !name_ends(one->path))
            return false;
    }
    return true;
}

static bool regions_are_right(const struct region *regions)
{
    for (size_t i = 0; i < REGIONS_MAX; i++) {
        const struct region *one = &regions[i];
        if (!is_fd(one->fd) || one->size > REGION_BYTES_MAX || !name_ends(one->name) ||
            !is_flag(&one->kept) || !is_flag(&one->serving) || !is_flag(&one->loading))
            return false;
    }
    return true;
}

bool handover_valid(const struct handover_state *state)
{
    return layout_is_ours(state) && state->master > 0 && is_flag(&state->announced) &&
           is_fd(state->slots_fd) && is_fd(state->seal_fd) && is_fd(state->kept_fd) &&
           is_fd(state->wake_fd) && is_fd(state->written_fd) &&
           state->last_drain_ms <= HANDOVER_DRAIN_MAX_MS &&
           generations_are_right(state->generations) && service_is_right(&state->recorder) &&
           service_is_right(&state->steward) && members_are_right(state->members) &&
           listening_is_right(state->listening) && inherited_is_right(state) &&
           regions_are_right(state->regions);
}
