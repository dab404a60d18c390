/* The places of eight that stay, for each choice of them. */
#include "gateway/base/keep.h"

#define BIT(set, i) ((set) >> (i)&1)
/* One place, and those behind it: none, or one more. */
#define PLACE(set, i, behind) ((behind) << 8 * BIT(set, i) | (uint64_t)(i)*BIT(set, i))
#define ROW(set)                                                                               \
    PLACE(                                                                                     \
        set, 0,                                                                                \
        PLACE(set, 1,                                                                          \
              PLACE(set, 2,                                                                    \
                    PLACE(set, 3,                                                              \
                          PLACE(set, 4,                                                        \
                                PLACE(set, 5, PLACE(set, 6, PLACE(set, 7, UINT64_C(0)))))))))
#define ROWS4(set) ROW(set), ROW((set) + 1), ROW((set) + 2), ROW((set) + 3)
#define ROWS16(set) ROWS4(set), ROWS4((set) + 4), ROWS4((set) + 8), ROWS4((set) + 12)
#define ROWS64(set) ROWS16(set), ROWS16((set) + 16), ROWS16((set) + 32), ROWS16((set) + 48)

const uint64_t keep_places[256] = { ROWS64(0), ROWS64(64), ROWS64(128), ROWS64(192) };
