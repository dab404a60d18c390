/*
 * Pages for people who sign in: one look for all of them, with forms that work without scripts,
 * read well aloud, and follow the reader's light or dark. Style is one block, allowed by its
 * hash; the page loads nothing and runs nothing. What comes from a client or a store stands in
 * a page only escaped.
 */
#ifndef SALLYPORT_PAGES_H
#define SALLYPORT_PAGES_H

#include "auth/session.h"

enum { PAGE_STYLE_MAX = 16 * 1024, PAGE_BRAND_MAX = 64 };

struct page_style {
    struct span css, policy; /* policy: the whole Content-Security-Policy */
    struct span brand;
};

/* At load: `file` (may be empty) is added to the style that is built in. ERR_CONFIG after a
 * complaint. */
MUST_USE enum err page_style_open(struct page_style *style, struct setup *setup,
                                  struct span brand, struct span file);

/* What a form brings back, hidden. */
struct page_form {
    struct span action; /* path */
    struct span handle; /* of the sign-in; empty: none */
    struct span token;  /* form_token */
};

/* All in the transaction's arena, NULL when it is exhausted. `trouble` (may be empty) is ours.
 */
struct reply *page_name_and_password(struct call *c, const struct page_style *style, int status,
                                     const struct page_form *form, struct span trouble);
struct reply *page_second_factor(struct call *c, const struct page_style *style, int status,
                                 const struct page_form *form, struct span trouble);
/* Ways to go on, one of which is to be chosen. */
struct page_choice {
    struct span link, text;
};
struct reply *page_choose(struct call *c, const struct page_style *style,
                          const struct page_choice *choices, size_t count);
/* Who is signed in, and a button to end it. */
struct reply *page_signed_in(struct call *c, const struct page_style *style,
                             const struct page_form *form, struct span user);
/* A sentence, and a link to go on by (empty: none). */
struct page_note {
    struct span title, sentence, link, link_text;
};
struct reply *page_message(struct call *c, const struct page_style *style, int status,
                           const struct page_note *note);
/* A redirect without a body, which answers a form (303) or asks for one (302). */
struct reply *page_redirect(struct call *c, int status, struct span location);

/*
 * What a stage that found a session leaves for those that refuse: fact_set_signed_in. So who is
 * refused is told who he is, can sign out, and, where that is what lacks, prove it again.
 */
struct signed_in {
    const struct sessions *sessions;
    const struct page_style *style;
    struct span out; /* path that takes the form of the button */
    struct span
        again;        /* path that a handle is appended to, for who has to prove it again ... */
    struct span step; /* ... of a sign-in of this step */
};
/*
 * The page for who is signed in and refused: NULL where the fact is not set or no page is
 * wanted (then the reason's own answer will do). `groups`: any of which would have let him
 * pass; may be empty. `prove`: it is not who he is, but how and when he proved it.
 */
struct reply *page_refused(struct call *c, struct span groups, bool prove);

void page_escape(struct text *out, struct span s);

#endif
