/* The note that --build-id leaves in the program. */
#include "gateway/base/build.h"

#include <elf.h>
#include <link.h>

struct note {
    ElfW(Nhdr) head;
    char owner[4]; /* "GNU" */
};

/* Of one segment of notes; each is filled up to a multiple of four. */
static struct span find_in(const char *p, size_t len)
{
    struct span none = { 0 };
    while (len >= sizeof(struct note)) {
        struct note note;
        memcpy(&note, p, sizeof(note));
        size_t owner = ((size_t)note.head.n_namesz + 3) & ~(size_t)3;
        size_t content = ((size_t)note.head.n_descsz + 3) & ~(size_t)3;
        size_t whole = sizeof(note.head) + owner + content;
        if (whole > len)
            return none;
        if (note.head.n_type == NT_GNU_BUILD_ID && owner == sizeof(note.owner) &&
            memcmp(note.owner, ELF_NOTE_GNU, sizeof(note.owner)) == 0)
            return span_of(p + sizeof(note.head) + owner, note.head.n_descsz);
        p += whole;
        len -= whole;
    }
    return none;
}

/* The first one is the program itself; libraries come behind it. */
static int look(struct dl_phdr_info *info, size_t size, void *context)
{
    struct span *id = context;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum && id->len == 0; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_NOTE || part->p_align > 4)
            continue;
        /* An address of the program: NOLINTNEXTLINE(performance-no-int-to-ptr) */
        *id = find_in((const char *)(info->dlpi_addr + part->p_vaddr), part->p_memsz);
    }
    return 1;
}

struct span build_id(void)
{
    struct span id = { 0 };
    (void)dl_iterate_phdr(look, &id);
    return id;
}
