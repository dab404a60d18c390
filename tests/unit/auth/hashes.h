/* Hashes of "open sesame", as cheap as each kind goes, and one of "another". */
#ifndef SALLYPORT_TESTS_HASHES_H
#define SALLYPORT_TESTS_HASHES_H

#define HASH_ARGON2ID                                                                          \
    "$argon2id$v=19$m=64,t=1,p=1$9QrNBZlD54ArkRVUj6wGeg$"                                      \
    "RChYkMldY0XiqAcoW75956W+LnUASm3P+uaF/sME3u8"
#define HASH_2B "$2b$04$l4k1UWY08LTeRoZRo/Eor.1weWDDagz6i9ZK.Hh4RPlzTyM4rIs2i"
#define HASH_2Y "$2y$04$wMA/ClGNzYhvtmfjTPCHT.qLswk1kgO2OS33OvDVgOneMuK5W2jKu"
#define HASH_2A "$2a$04$hwcdA4UnoQNwcmWNy0/2ruJ7Y1VoprkATce/kHapBpvBwJHdxI7dS"
#define HASH_SHA512                                                                            \
    "$6$rounds=1000$XKIgwTlRG0vEnS4l$"                                                         \
    "kMeilWxqLut20js03b.aaqxcXg11kQP4d5Uao9h07lGICTwbzyFXDc7Tvqh3WJWDclqEhqYNsxmkj/92pxG6J0"
#define HASH_SHA512_PLAIN                                                                      \
    "$6$saltsalt$"                                                                             \
    "e/5XKibXPLqVcfjpD.ouauaJrAOL5V0uo80Lt7n7EbRdRiCx3HbQ90yjOHr.G0T.mx79PEMRy8nmtr0qSYhQp1"
#define HASH_SHA256                                                                            \
    "$5$rounds=1000$TbnyWOQ0BTz.5cR5$Zdj8YodUkdSaIjaG2GGP/xOaM4.BuARKreenKGPQRi2"
#define HASH_YESCRYPT                                                                          \
    "$y$j75$ab3OXGtSeLayZSD1Z3X5C0$Npz5oUUQCDdjiXDKQpGkjGdEN382grtuFUx/faw2rs6"
#define HASH_APR1 "$apr1$saltsalt$HIDXe7D36X22w1CH4M1cQ."
#define HASH_SHA1 "{SHA}W8r/fyL/UzygmbNAjq2HbA67qac="

#endif
