/*
 * The fence of a boot by UEFI: the entry point of the kernel's EFI program. It replaces the ACPI tables in the list that
 * the firmware hands over, before the kernel's own entry point runs. The same file guards the kernel's 64-bit entry.
 */
#include "tables.h"

/*
 * At BASE: the entry point. It is called as the kernel would be: rcx is the image handle, rdx the system table.
 * KERNEL_EFI is how far the kernel's own entry point lies before this one. An error goes back to the firmware.
 *
 * At BASE + 0x40: MARK, which the BIOS's fence sets in memory.
 *
 * At BASE + 0x48: what the kernel's 64-bit entry jumps to. Only the BIOS's fence comes this way. A boot loader that calls
 * the 64-bit or the 32-bit entry itself finds no mark, and the guest ends. Then the four instructions that gave way
 * to the jump, and on to KERNEL64.
 */
__asm__(".section .text.first, \"ax\"\n"
        "entry: pushq %rcx\n"
        "pushq %rdx\n"
        "subq $0x28, %rsp\n"
        "call fence_efi\n"
        "addq $0x28, %rsp\n"
        "popq %rdx\n"
        "popq %rcx\n"
        "testq %rax, %rax\n"
        "jnz 1f\n"
        "leaq entry(%rip), %rax\n"
        "subq $KERNEL_EFI, %rax\n"
        "jmp *%rax\n"
        "1: ret\n"
        ".org 0x40\n"
        "mark: .quad 0\n"
        "cmpl $0x0C0C05A1, mark(%rip)\n"
        "jne 2f\n"
        "cld\n"
        "cli\n"
        "xorl %eax, %eax\n"
        "movl %eax, %ds\n"
        "jmp KERNEL64\n"
        "2: pushq $0\n"
        "pushq $0\n"
        "lidt (%rsp)\n"
        "ud2\n"
        ".text");

#define EFI __attribute__((ms_abi))
#define ACPI_RECLAIM_MEMORY 9
#define ACPI_NVS_MEMORY 10
#define BOOT_SERVICES_DATA 4
#define BELOW_ADDRESS 1
#define TPL_CALLBACK 8
#define EXIT_BOOT_SERVICES 0x201
#define ACCESS_DENIED (1ULL << 63 | 15)

struct guid {
  u32 a;
  u16 b, c;
  u8 d[8];
};

struct entry {
  struct guid id;
  void *table;
};

/* Boot services (UEFI specification 2.10, 4.4), only those that are used. */
struct services {
  u8 header[24];
  void *raise_tpl, *restore_tpl;
  EFI u64 (*allocate_pages)(u32 how, u32 type, u64 pages, u64 *at);
  void *free_pages;
  EFI u64 (*get_memory_map)(u64 *size, void *map, u64 *key, u64 *each, u32 *version);
  EFI u64 (*allocate_pool)(u32 type, u64 size, void **at);
  EFI u64 (*free_pool)(void *at);
  EFI u64 (*create_event)(u32 type, u64 tpl, EFI void (*notify)(void *event, void *context), void *context, void **event);
  void *others[13];
  EFI u64 (*install_table)(const struct guid *id, void *table);
};
_Static_assert(__builtin_offsetof(struct services, create_event) == 80, "boot services");
_Static_assert(__builtin_offsetof(struct services, install_table) == 192, "boot services");

struct system {
  u8 header[24];
  void *vendor;
  u64 revision;
  void *consoles[6], *runtime;
  struct services *boot;
  u64 count;
  struct entry *entries;
};
_Static_assert(__builtin_offsetof(struct system, boot) == 96, "system table");

static const struct guid ACPI_20 = { 0x8868e871, 0xe4f1, 0x11d3, { 0xbc, 0x22, 0, 0x80, 0xc7, 0x3c, 0x88, 0x81 } };
static const struct guid ACPI_10 = { 0xeb9d2d30, 0x2d88, 0x11d3, { 0x9a, 0x16, 0, 0x90, 0x27, 0x3f, 0xc1, 0x4d } };

static void *find(const struct system *system, const struct guid *id)
{
  for (u64 i = 0; i < system->count; i++)
    if (is_signed(&system->entries[i].id, (const char *)id, sizeof *id)) return system->entries[i].table;
  return 0;
}

static int is_closed(const struct system *system, const struct area *area)
{
  for (u64 i = 0; i < system->count; i++) {
    const struct entry *e = &system->entries[i];
    if (is_signed(&e->id, (const char *)&ACPI_20, sizeof e->id) && e->table != &area->rsdp) return 0;
    if (is_signed(&e->id, (const char *)&ACPI_10, sizeof e->id)) return 0;
  }
  return find(system, &ACPI_20) != 0;
}

/* Firmware that has published other tables since then ends the guest. */
EFI static void check_at_exit(void *event, void *context)
{
  const struct area *area = context;
  (void)event;
  if (!is_closed(area->notes[0], area)) stop("the firmware published other tables");
}

/* The memory map. Its descriptors may be longer than this structure, which is what `each` is for. */
struct map {
  const u8 *descriptors;
  u64 size, each;
};

struct descriptor {
  u32 type, pad;
  u64 at, virtual, pages;
};

static int is_kept(const void *firmware, u64 at, u64 length)
{
  const struct map *map = firmware;
  for (u64 i = 0; map->each >= sizeof(struct descriptor) && i + map->each <= map->size; i += map->each) {
    const struct descriptor *d = (const struct descriptor *)(map->descriptors + i);
    u64 whole = d->pages * 4096;
    if (d->type == ACPI_NVS_MEMORY && at >= d->at && length <= whole && at - d->at <= whole - length) return 1;
  }
  return 0;
}

/* Writes the guest's tables; 0 when the firmware has no memory, or the host no usable list of processors. */
static struct area *make_tables(const struct system *system)
{
  struct services *boot = system->boot;
  const struct rsdp *rsdp = find(system, &ACPI_20);
  struct map map = { 0, 0, 0 };
  u64 key, at = 0xFFFFFFFF;
  u32 version;
  void *room;
  int is_written = 0;
  if (!rsdp) rsdp = find(system, &ACPI_10);
  if (!rsdp || boot->allocate_pages(BELOW_ADDRESS, ACPI_RECLAIM_MEMORY, AREA_PAGES, &at)) return 0;
  boot->get_memory_map(&map.size, 0, &key, &map.each, &version);
  map.size += 4096;
  if (boot->allocate_pool(BOOT_SERVICES_DATA, map.size, &room)) return 0;
  map.descriptors = room;
  struct area *area = (struct area *)at;
  memset(area, 0, AREA_PAGES * 4096);
  if (!boot->get_memory_map(&map.size, room, &key, &map.each, &version))
    is_written = write_tables(area, read_host(rsdp, &map));
  boot->free_pool(room);
  return is_written ? area : 0;
}

/* 0 when the kernel may start. */
EFI u64 fence_efi(void *image, struct system *system)
{
  struct services *boot = system->boot;
  struct area *area = make_tables(system);
  void *event;
  (void)image;
  if (area) {
    area->notes[0] = system;
    boot->install_table(&ACPI_10, 0);
    boot->install_table(&ACPI_20, &area->rsdp);
    u64 failed = boot->create_event(EXIT_BOOT_SERVICES, TPL_CALLBACK, check_at_exit, area, &event);
    if (!failed && is_closed(system, area)) return 0;
  }
  complain("the tables cannot be replaced");
  return ACCESS_DENIED;
}
