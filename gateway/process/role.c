/*
 * The hidden `--role NAME`: how the master starts the others from the same program.
 */
#include <unistd.h>

#include "gateway/base/log.h"
#include "gateway/process/process.h"

int role_main(int argc, char **argv)
{
    enum role role = argc > 0 ? process_find(span_text(argv[0])) : ROLE_COUNT;
    /* Without the handlers of exit: in a closed sandbox there is nothing that they may do. */
    switch (role) {
    case ROLE_GENERATION:
        _exit(generation_main(argc - 1, argv + 1));
    case ROLE_RECORDER:
        _exit(recorder_main());
    case ROLE_STEWARD:
        _exit(steward_main());
    case ROLE_MASTER:
        _exit(upgrade_check());
    case ROLE_WORKER:
    case ROLE_COUNT:
        break;
    }
    log_error("not a role that is started by name; use `sallyport run`");
    return 2;
}
