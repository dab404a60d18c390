/* Recorded words, found again. */
#include "gateway/chain/replayed.h"

#include "gateway/chain/chain.h"
#include "gateway/chain/reply.h"
#include "gateway/chain/txn.h"

static bool is_of(const struct replayed_stage *word, const struct stage_type *stage,
                  enum phase phase)
{
    return strcmp(word->stage, stage->name) == 0 && strcmp(word->phase, phase_name(phase)) == 0;
}

bool replayed_knows(const struct replayed *replayed, const struct stage_type *stage,
                    enum phase phase)
{
    for (unsigned i = 0; i < replayed->word_count; i++)
        if (is_of(&replayed->words[i], stage, phase))
            return true;
    return false;
}

struct verdict replayed_word(struct txn *txn, const struct stage_type *stage, enum phase phase)
{
    const struct replayed *replayed = txn->replayed;
    if (replayed->user.len > 0 && span_equal(replayed->auth, span_text(stage->name))) {
        txn->facts.user = replayed->user;
        txn->facts.auth = replayed->auth;
    }
    if (replayed->has_bots && strcmp(stage->name, "bots") == 0)
        txn->facts.bots = &replayed->bots;
    for (unsigned i = 0; i < replayed->word_count; i++) {
        const struct replayed_stage *word = &replayed->words[i];
        if (!is_of(word, stage, phase))
            continue;
        struct verdict said = word->said;
        if (word->status != 0 && (said.action == ACTION_DENY || said.action == ACTION_REPLY))
            said.reply = reply_new(txn, word->status);
        if (word->detail != NULL)
            txn->facts.auth_detail = word->detail;
        if (word->list.len > 0)
            txn->facts.denied_by = word->list;
        return said;
    }
    return pass();
}

enum reason replayed_reason(const char *slug)
{
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++)
        if (strcmp(reason_row((enum reason)i)->slug, slug) == 0)
            return (enum reason)i;
    return REASON_NONE;
}
