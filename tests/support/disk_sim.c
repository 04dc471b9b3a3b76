#include "tests/support/disk_sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/base/disk.h"

enum { PAGE_SIZE = 4096, SECTOR_SIZE = 512, PATH_SIZE_MAX = 4096, MACHINES_MAX = 64 };

struct page {
    uint8_t *data; /* NULL: zeros. */
    uint8_t *old;  /* Sectors as they are on disk, where dirty. */
    uint8_t dirty; /* One bit per sector. */
};

struct inode {
    unsigned refs;
    struct page *pages;
    size_t pages_size;
    uint64_t size;
    uint64_t durable_size;
    size_t *dirty; /* Numbers of dirty pages. */
    size_t dirty_count;
    size_t dirty_size;
};

struct name {
    char *path;
    struct inode *inode;
};

struct names {
    struct name *at;
    size_t count;
    size_t size;
};

/* A change of a folder that is not synced yet. */
struct change {
    char *from; /* NULL if a file was made. */
    char *to;   /* NULL if it was unlinked. */
    struct inode *inode;
};

struct fault {
    uint64_t countdown;
    enum status status; /* OK: none. */
};

struct machine {
    char *prefix;
    uint64_t changes;
    uint64_t free;
    struct fault write;
    struct fault sync;
    bool cut_armed;
    bool cut_struck;
    uint64_t cut_at;
    struct rand cut_rand;
    struct names image; /* After the cut. */
};

struct disk_file {
    struct disk_file *next;
    char *path;
    struct inode *inode;
    bool writable;
    bool stale;
};

static struct {
    struct names now;
    struct names durable;
    struct change *changes;
    size_t changes_count;
    size_t changes_size;
    char **folders;
    size_t folders_count;
    struct disk_file *open;
    struct machine machines[MACHINES_MAX];
    size_t machines_count;
} sim;

static void *grown(void *array, size_t count, size_t *size, size_t element)
{
    if (count < *size) {
        return array;
    }
    *size = *size * 2 + 16;
    array = realloc(array, *size * element);
    assert(array != NULL);
    return array;
}

static char *copy_text(const char *text)
{
    char *copy = strdup(text);
    assert(copy != NULL);
    return copy;
}

static bool is_under(const char *path, const char *prefix)
{
    size_t len = strlen(prefix);
    while (len > 0 && prefix[len - 1] == '/') {
        len--;
    }
    return strncmp(path, prefix, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool is_in_folder(const char *path, const char *folder)
{
    const char *slash = strrchr(path, '/');
    size_t len = strlen(folder);
    return slash != NULL && (size_t)(slash - path) == len && strncmp(path, folder, len) == 0;
}

static struct machine *machine_of(const char *path)
{
    for (size_t i = 0; i < sim.machines_count; i++) {
        if (is_under(path, sim.machines[i].prefix)) {
            return &sim.machines[i];
        }
    }
    return NULL;
}

static struct machine *machine_get(const char *prefix)
{
    for (size_t i = 0; i < sim.machines_count; i++) {
        if (strcmp(prefix, sim.machines[i].prefix) == 0) {
            return &sim.machines[i];
        }
    }
    assert(sim.machines_count < MACHINES_MAX);
    struct machine *machine = &sim.machines[sim.machines_count++];
    *machine = (struct machine){.prefix = copy_text(prefix), .free = UINT64_MAX};
    return machine;
}

static struct inode *inode_new(void)
{
    struct inode *inode = calloc(1, sizeof(*inode));
    assert(inode != NULL);
    return inode;
}

static struct inode *inode_ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

static void inode_unref(struct inode *inode)
{
    assert(inode->refs > 0);
    if (--inode->refs > 0) {
        return;
    }
    for (size_t i = 0; i < inode->pages_size; i++) {
        free(inode->pages[i].data);
        free(inode->pages[i].old);
    }
    free(inode->pages);
    free(inode->dirty);
    free(inode);
}

static struct page *page_at(struct inode *inode, uint64_t number)
{
    if (number >= inode->pages_size) {
        size_t size = inode->pages_size * 2 > number + 1 ? inode->pages_size * 2 : number + 1;
        inode->pages = realloc(inode->pages, size * sizeof(*inode->pages));
        assert(inode->pages != NULL);
        memset(inode->pages + inode->pages_size, 0,
               (size - inode->pages_size) * sizeof(*inode->pages));
        inode->pages_size = size;
    }
    return &inode->pages[number];
}

static uint8_t *page_data(struct page *page)
{
    if (page->data == NULL) {
        page->data = calloc(1, PAGE_SIZE);
        assert(page->data != NULL);
    }
    return page->data;
}

/* Remembers what the sectors in [from, to) of the page have on disk. */
static void page_save(struct inode *inode, uint64_t number, size_t from, size_t to)
{
    struct page *page = page_at(inode, number);
    uint8_t *data = page_data(page);
    if (page->dirty == 0) {
        inode->dirty = grown(inode->dirty, inode->dirty_count, &inode->dirty_size, sizeof(size_t));
        inode->dirty[inode->dirty_count++] = (size_t)number;
    }
    if (page->old == NULL) {
        page->old = malloc(PAGE_SIZE);
        assert(page->old != NULL);
    }
    for (size_t sector = from / SECTOR_SIZE; sector * SECTOR_SIZE < to; sector++) {
        if ((page->dirty >> sector & 1) == 0) {
            memcpy(page->old + sector * SECTOR_SIZE, data + sector * SECTOR_SIZE, SECTOR_SIZE);
            page->dirty = (uint8_t)(page->dirty | 1u << sector);
        }
    }
}

static void inode_write(struct inode *inode, uint64_t offset, const uint8_t *data, size_t len)
{
    inode->size = offset + len > inode->size ? offset + len : inode->size;
    while (len > 0) {
        size_t from = (size_t)(offset % PAGE_SIZE);
        size_t part = len < PAGE_SIZE - from ? len : PAGE_SIZE - from;
        page_save(inode, offset / PAGE_SIZE, from, from + part);
        memcpy(page_at(inode, offset / PAGE_SIZE)->data + from, data, part);
        offset += part;
        data += part;
        len -= part;
    }
}

static void inode_read(struct inode *inode, uint64_t offset, uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t from = (size_t)(offset % PAGE_SIZE);
        size_t part = len < PAGE_SIZE - from ? len : PAGE_SIZE - from;
        uint64_t number = offset / PAGE_SIZE;
        const struct page *page = number < inode->pages_size ? &inode->pages[number] : NULL;
        if (page == NULL || page->data == NULL) {
            memset(data, 0, part);
        } else {
            memcpy(data, page->data + from, part);
        }
        offset += part;
        data += part;
        len -= part;
    }
}

static void inode_sync(struct inode *inode)
{
    for (size_t i = 0; i < inode->dirty_count; i++) {
        struct page *page = &inode->pages[inode->dirty[i]];
        free(page->old);
        page->old = NULL;
        page->dirty = 0;
    }
    inode->dirty_count = 0;
    inode->durable_size = inode->size;
}

/* How likely something unsynced survives, in 1/8: often nothing or all, else in between. */
static uint64_t draw_chance(struct rand *rand)
{
    uint64_t draw = rand_below(rand, 4);
    return draw == 0 ? 0 : draw == 1 ? 8 : 1 + rand_below(rand, 7);
}

/* Puts the page as a crash leaves it into data. */
static void page_crashed(const struct page *page, uint8_t *data, uint64_t chance, struct rand *rand)
{
    memcpy(data, page->data, PAGE_SIZE);
    for (size_t sector = 0; sector < PAGE_SIZE / SECTOR_SIZE; sector++) {
        size_t at = sector * SECTOR_SIZE;
        if ((page->dirty >> sector & 1) != 0 && rand_below(rand, 8) >= chance) {
            memcpy(data + at, page->old + at, SECTOR_SIZE);
        }
    }
}

/* The file as a crash leaves it, a new one. */
static struct inode *inode_crashed(const struct inode *inode, struct rand *rand)
{
    struct inode *made = inode_new();
    uint64_t chance = draw_chance(rand);
    bool short_again = inode->size > inode->durable_size && rand_below(rand, 2) == 0;
    made->size = short_again ? inode->durable_size : inode->size;
    made->durable_size = made->size;
    size_t count = (size_t)((made->size + PAGE_SIZE - 1) / PAGE_SIZE);
    for (size_t i = 0; i < inode->pages_size && i < count; i++) {
        if (inode->pages[i].data != NULL) {
            page_crashed(&inode->pages[i], page_data(page_at(made, i)), chance, rand);
        }
    }
    size_t used = (size_t)(made->size % PAGE_SIZE);
    if (used != 0 && count <= made->pages_size && made->pages[count - 1].data != NULL) {
        memset(made->pages[count - 1].data + used, 0, PAGE_SIZE - used);
    }
    return made;
}

static struct name *names_find(const struct names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->at[i].path, path) == 0) {
            return &names->at[i];
        }
    }
    return NULL;
}

static void names_remove(struct names *names, const char *path)
{
    struct name *name = names_find(names, path);
    if (name != NULL) {
        free(name->path);
        inode_unref(name->inode);
        size_t behind = names->count - 1 - (size_t)(name - names->at);
        memmove(name, name + 1, behind * sizeof(*name));
        names->count--;
    }
}

static void names_put(struct names *names, const char *path, struct inode *inode)
{
    inode_ref(inode);
    names_remove(names, path);
    names->at = grown(names->at, names->count, &names->size, sizeof(*names->at));
    names->at[names->count++] = (struct name){.path = copy_text(path), .inode = inode};
}

static void names_clear(struct names *names, const char *prefix)
{
    for (size_t i = names->count; i > 0; i--) {
        if (prefix == NULL || is_under(names->at[i - 1].path, prefix)) {
            names_remove(names, names->at[i - 1].path);
        }
    }
    if (names->count == 0) {
        free(names->at);
        *names = (struct names){0};
    }
}

static void change_apply(const struct change *change, struct names *names)
{
    struct name *from = change->from == NULL ? NULL : names_find(names, change->from);
    if (from != NULL && from->inode == change->inode) {
        names_remove(names, change->from);
    }
    if (change->to != NULL) {
        names_put(names, change->to, change->inode);
    }
}

static const char *change_path(const struct change *change)
{
    return change->to != NULL ? change->to : change->from;
}

static void change_add(const char *from, const char *to, struct inode *inode)
{
    struct change change = {.from = from == NULL ? NULL : copy_text(from),
                            .to = to == NULL ? NULL : copy_text(to),
                            .inode = inode_ref(inode)};
    change_apply(&change, &sim.now);
    sim.changes = grown(sim.changes, sim.changes_count, &sim.changes_size, sizeof(change));
    sim.changes[sim.changes_count++] = change;
}

static void changes_remove(size_t i)
{
    free(sim.changes[i].from);
    free(sim.changes[i].to);
    inode_unref(sim.changes[i].inode);
    sim.changes_count--;
    memmove(sim.changes + i, sim.changes + i + 1, (sim.changes_count - i) * sizeof(*sim.changes));
}

/* The machine's files as a crash leaves them. */
static struct names crashed_names(const char *prefix, struct rand *rand)
{
    struct names kept = {0};
    for (size_t i = 0; i < sim.durable.count; i++) {
        if (is_under(sim.durable.at[i].path, prefix)) {
            names_put(&kept, sim.durable.at[i].path, sim.durable.at[i].inode);
        }
    }
    bool in_order = rand_below(rand, 2) == 0;
    uint64_t chance = draw_chance(rand);
    for (size_t i = 0; i < sim.changes_count; i++) {
        if (!is_under(change_path(&sim.changes[i]), prefix)) {
            continue;
        }
        if (rand_below(rand, 8) < chance) {
            change_apply(&sim.changes[i], &kept);
        } else if (in_order) {
            break;
        }
    }
    struct names image = {0};
    for (size_t i = 0; i < kept.count; i++) {
        names_put(&image, kept.at[i].path, inode_crashed(kept.at[i].inode, rand));
    }
    names_clear(&kept, NULL);
    return image;
}

void disk_sim_crash(const char *prefix, struct rand *rand)
{
    struct machine *machine = machine_get(prefix);
    struct names image = machine->cut_struck ? machine->image : crashed_names(prefix, rand);
    machine->image = (struct names){0};
    machine->cut_armed = false;
    machine->cut_struck = false;
    for (struct disk_file *file = sim.open; file != NULL; file = file->next) {
        file->stale |= is_under(file->path, prefix);
    }
    for (size_t i = sim.changes_count; i > 0; i--) {
        if (is_under(change_path(&sim.changes[i - 1]), prefix)) {
            changes_remove(i - 1);
        }
    }
    names_clear(&sim.now, prefix);
    names_clear(&sim.durable, prefix);
    for (size_t i = 0; i < image.count; i++) {
        names_put(&sim.now, image.at[i].path, image.at[i].inode);
        names_put(&sim.durable, image.at[i].path, image.at[i].inode);
    }
    names_clear(&image, NULL);
}

void disk_sim_reset(void)
{
    assert(sim.open == NULL);
    while (sim.changes_count > 0) {
        changes_remove(sim.changes_count - 1);
    }
    names_clear(&sim.now, NULL);
    names_clear(&sim.durable, NULL);
    for (size_t i = 0; i < sim.machines_count; i++) {
        names_clear(&sim.machines[i].image, NULL);
        free(sim.machines[i].prefix);
    }
    for (size_t i = 0; i < sim.folders_count; i++) {
        free(sim.folders[i]);
    }
    free(sim.changes);
    free(sim.folders);
    memset(&sim, 0, sizeof(sim));
}

uint64_t disk_sim_changes(const char *machine)
{
    return machine_get(machine)->changes;
}

void disk_sim_cut(const char *prefix, uint64_t changes, struct rand *rand)
{
    struct machine *machine = machine_get(prefix);
    assert(!machine->cut_struck);
    machine->cut_armed = true;
    machine->cut_at = machine->changes + changes;
    rand_init(&machine->cut_rand, rand_u64(rand));
}

bool disk_sim_is_cut(const char *machine)
{
    return machine_get(machine)->cut_struck;
}

void disk_sim_fail_write(const char *machine, uint64_t changes, enum status status)
{
    machine_get(machine)->write = (struct fault){.countdown = changes, .status = status};
}

void disk_sim_fail_sync(const char *machine, uint64_t changes, enum status status)
{
    machine_get(machine)->sync = (struct fault){.countdown = changes, .status = status};
}

void disk_sim_set_free(const char *machine, uint64_t bytes)
{
    machine_get(machine)->free = bytes;
}

void disk_sim_flip(const char *path, uint64_t offset, unsigned bit)
{
    struct name *name = names_find(&sim.now, path);
    assert(name != NULL && offset < name->inode->size && bit < 8);
    uint8_t *data = page_data(page_at(name->inode, offset / PAGE_SIZE));
    data[offset % PAGE_SIZE] = (uint8_t)(data[offset % PAGE_SIZE] ^ 1u << bit);
}

/* Before anything is changed on the disk that holds path. */
static void before_change(const char *path)
{
    struct machine *machine = machine_of(path);
    if (machine == NULL) {
        return;
    }
    if (machine->cut_armed && machine->changes == machine->cut_at) {
        machine->cut_armed = false;
        machine->cut_struck = true;
        machine->image = crashed_names(machine->prefix, &machine->cut_rand);
    }
    machine->changes++;
}

static enum status fault_due(struct fault *fault)
{
    if (fault->status == STATUS_OK || fault->countdown-- > 0) {
        return STATUS_OK;
    }
    enum status status = fault->status;
    fault->status = STATUS_OK;
    return status;
}

/* Takes room for a file that grows to size. */
static enum status take_room(struct disk_file *file, uint64_t size)
{
    struct machine *machine = machine_of(file->path);
    if (machine == NULL || machine->free == UINT64_MAX || size <= file->inode->size) {
        return STATUS_OK;
    }
    uint64_t more = size - file->inode->size;
    if (more > machine->free) {
        return STATUS_DISK_FULL;
    }
    machine->free -= more;
    return STATUS_OK;
}

static bool folder_exists(const char *path)
{
    for (size_t i = 0; i < sim.folders_count; i++) {
        if (strcmp(sim.folders[i], path) == 0) {
            return true;
        }
    }
    return false;
}

static void parent_of(const char *path, char parent[PATH_SIZE_MAX])
{
    const char *slash = strrchr(path, '/');
    assert(slash != NULL && strlen(path) < PATH_SIZE_MAX);
    size_t len = (size_t)(slash - path);
    memcpy(parent, path, len);
    parent[len] = '\0';
}

enum status disk_open(const char *path, enum disk_mode mode, struct disk_file **file)
{
    char parent[PATH_SIZE_MAX];
    parent_of(path, parent);
    if (mode == DISK_CREATE && !folder_exists(parent)) {
        return STATUS_NOT_FOUND;
    }
    if (mode == DISK_CREATE) {
        before_change(path);
        change_add(NULL, path, inode_new());
    }
    struct name *name = names_find(&sim.now, path);
    if (name == NULL) {
        return STATUS_NOT_FOUND;
    }
    struct disk_file *opened = calloc(1, sizeof(*opened));
    assert(opened != NULL);
    opened->path = copy_text(path);
    opened->inode = inode_ref(name->inode);
    opened->writable = mode != DISK_READ;
    opened->next = sim.open;
    sim.open = opened;
    *file = opened;
    return STATUS_OK;
}

void disk_close(struct disk_file *file)
{
    struct disk_file **at = &sim.open;
    while (*at != file) {
        assert(*at != NULL);
        at = &(*at)->next;
    }
    *at = file->next;
    inode_unref(file->inode);
    free(file->path);
    free(file);
}

enum status disk_size(struct disk_file *file, uint64_t *size)
{
    assert(!file->stale);
    *size = file->inode->size;
    return STATUS_OK;
}

enum status disk_read(struct disk_file *file, uint64_t offset, void *data, size_t len)
{
    assert(!file->stale);
    if (offset > file->inode->size || len > file->inode->size - offset) {
        return STATUS_NOT_FOUND;
    }
    inode_read(file->inode, offset, data, len);
    return STATUS_OK;
}

enum status disk_write(struct disk_file *file, uint64_t offset, const void *data, size_t len)
{
    assert(!file->stale && file->writable);
    before_change(file->path);
    struct machine *machine = machine_of(file->path);
    enum status status = machine == NULL ? STATUS_OK : fault_due(&machine->write);
    if (status == STATUS_OK) {
        status = take_room(file, offset + len);
    }
    if (status == STATUS_OK) {
        inode_write(file->inode, offset, data, len);
    }
    return status;
}

void disk_set_direct(struct disk_file *file)
{
    assert(!file->stale && file->writable);
}

enum status disk_sync(struct disk_file *file)
{
    assert(!file->stale);
    before_change(file->path);
    struct machine *machine = machine_of(file->path);
    enum status status = machine == NULL ? STATUS_OK : fault_due(&machine->sync);
    if (status == STATUS_OK) {
        inode_sync(file->inode);
    }
    return status;
}

enum status disk_fill(struct disk_file *file, uint64_t size)
{
    assert(!file->stale && file->writable);
    if (size <= file->inode->size) {
        return STATUS_OK;
    }
    before_change(file->path);
    enum status status = take_room(file, size);
    if (status != STATUS_OK) {
        return status;
    }
    file->inode->size = size;
    return disk_sync(file);
}

enum status disk_rename(const char *from, const char *to)
{
    struct name *name = names_find(&sim.now, from);
    if (name == NULL) {
        return STATUS_NOT_FOUND;
    }
    before_change(from);
    change_add(from, to, name->inode);
    return STATUS_OK;
}

/* Folders last. */
enum status disk_remove_folder(const char *path)
{
    assert(path != NULL);
    return STATUS_OK;
}

enum status disk_unlink(const char *path)
{
    struct name *name = names_find(&sim.now, path);
    if (name == NULL) {
        return STATUS_NOT_FOUND;
    }
    before_change(path);
    change_add(path, NULL, name->inode);
    return STATUS_OK;
}

enum status disk_sync_folder(const char *path)
{
    if (!folder_exists(path)) {
        return STATUS_NOT_FOUND;
    }
    before_change(path);
    for (size_t i = 0; i < sim.changes_count;) {
        if (is_in_folder(change_path(&sim.changes[i]), path)) {
            change_apply(&sim.changes[i], &sim.durable);
            changes_remove(i);
        } else {
            i++;
        }
    }
    return STATUS_OK;
}

enum status disk_make_folder(const char *path)
{
    for (size_t i = 1; i <= strlen(path); i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        char *part = strndup(path, i);
        assert(part != NULL);
        if (folder_exists(part)) {
            free(part);
            continue;
        }
        sim.folders = realloc(sim.folders, (sim.folders_count + 1) * sizeof(char *));
        assert(sim.folders != NULL);
        sim.folders[sim.folders_count++] = part;
    }
    return STATUS_OK;
}

bool disk_exists(const char *path)
{
    return folder_exists(path) || names_find(&sim.now, path) != NULL;
}

enum status disk_list(const char *path, void (*visit)(void *arg, const char *name), void *arg)
{
    if (!folder_exists(path)) {
        return STATUS_NOT_FOUND;
    }
    for (size_t i = 0; i < sim.folders_count; i++) {
        if (is_in_folder(sim.folders[i], path)) {
            visit(arg, strrchr(sim.folders[i], '/') + 1);
        }
    }
    for (size_t i = 0; i < sim.now.count; i++) {
        if (is_in_folder(sim.now.at[i].path, path)) {
            visit(arg, strrchr(sim.now.at[i].path, '/') + 1);
        }
    }
    return STATUS_OK;
}

enum status disk_free(const char *path, uint64_t *bytes)
{
    struct machine *machine = machine_of(path);
    bool limited = machine != NULL && machine->free != UINT64_MAX;
    *bytes = limited ? machine->free : UINT64_C(1) << 40;
    return STATUS_OK;
}

enum status disk_read_file(const char *path, struct buf *out)
{
    struct name *name = names_find(&sim.now, path);
    if (name == NULL) {
        return STATUS_NOT_FOUND;
    }
    if (name->inode->size > out->size_max - out->len) {
        return STATUS_TOO_BIG;
    }
    size_t size = (size_t)name->inode->size;
    if (size > 0) {
        inode_read(name->inode, 0, buf_reserve(out, size), size);
        out->len += size;
    }
    return STATUS_OK;
}

enum status disk_replace_file(const char *path, struct slice bytes)
{
    char temporary[PATH_SIZE_MAX];
    char parent[PATH_SIZE_MAX];
    int len = snprintf(temporary, sizeof(temporary), "%s.new", path);
    assert(len > 0 && (size_t)len < sizeof(temporary));
    parent_of(path, parent);
    struct disk_file *file;
    enum status status = disk_open(temporary, DISK_CREATE, &file);
    if (status != STATUS_OK) {
        return status;
    }
    status = disk_write(file, 0, bytes.data, bytes.len);
    if (status == STATUS_OK) {
        status = disk_sync(file);
    }
    disk_close(file);
    if (status == STATUS_OK) {
        status = disk_rename(temporary, path);
    }
    return status == STATUS_OK ? disk_sync_folder(parent) : status;
}
