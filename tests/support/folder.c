#include "tests/support/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/test.h"

void folder_make(char folder[FOLDER_SIZE], const char *name)
{
    CHECK(strlen(name) + sizeof("-XXXXXX") <= FOLDER_SIZE);
    (void)snprintf(folder, FOLDER_SIZE, "%s-XXXXXX", name);
    CHECK(mkdtemp(folder) != NULL);
}

void folder_remove(const char *folder)
{
    char command[FOLDER_SIZE + 16];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    CHECK_EQ(system(command), 0);
}
