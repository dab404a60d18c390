/*
 * argv to verb; and the hidden `--role NAME`, by which the master starts the other processes.
 */
#include <string.h>

#include "gateway/cli/cli.h"
#include "gateway/process/process.h"

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "--role") == 0)
        return role_main(argc - 2, argv + 2);
    return cli_main(argc, argv);
}
