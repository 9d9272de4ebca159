/*
 * The fence of a boot without UEFI. The kernel's setup code jumps here (`code32_start` of the x86 boot protocol) in
 * protected mode with paging off, esi on boot_params.
 */
#include "tables.h"

/* KERNEL32 is the kernel's own entry; MARK is checked at its 64-bit entry (efi.c). */
__asm__(".section .text.first, \"ax\"\n"
        "cld\n"
        "pushal\n"
        "pushl %esi\n"
        "call fence_bios\n"
        "popl %esi\n"
        "popal\n"
        "movl $0x0C0C05A1, MARK\n"
        "movl $KERNEL32, %eax\n"
        "jmp *%eax\n"
        ".text");

/* In conventional memory, which nothing uses by then: setup and command line lie below, the BIOS's data above. */
#define AREA 0x90000
#define RAM 1
#define ACPI 3
#define MOST_ENTRIES 128

struct PACKED memory {
  u64 at, length;
  u32 type;
};

/* boot_params, or "zero page", of the x86 boot protocol. */
struct PACKED params {
  u8 before[0x70];
  u64 rsdp;
  u8 between[0x1E8 - 0x78];
  u8 entries;
  u8 after[0x2D0 - 0x1E9];
  struct memory memory[MOST_ENTRIES];
};

static int is_kept(const void *map, u64 at, u64 length)
{
  const struct params *params = map;
  for (u32 i = 0; i < params->entries; i++) {
    const struct memory *m = &params->memory[i];
    if (m->type != RAM && at >= m->at && length <= m->length && at - m->at <= m->length - length) return 1;
  }
  return 0;
}

void fence_bios(struct params *boot)
{
  struct area *area = (struct area *)AREA;
  const struct rsdp *rsdp = 0;
  u8 count = boot->entries;
  for (uptr p = 0xE0000; p < 0x100000 && !rsdp; p += 16)
    if (is_signed((void *)p, "RSD PTR ", 8) && !sum((void *)p, 20)) rsdp = (const struct rsdp *)p;
  if (!rsdp) stop("no ACPI tables");
  if (count == 0 || count >= MOST_ENTRIES) stop("memory map");
  struct memory *low = &boot->memory[0], *added = &boot->memory[count];
  if (low->type != RAM || low->at > 0 || low->length < AREA + AREA_PAGES * 4096) stop("conventional memory");
  low->length = AREA;
  *added = (struct memory){ AREA, AREA_PAGES * 4096, ACPI };
  boot->entries = count + 1;
  memset(area, 0, AREA_PAGES * 4096);
  if (!write_tables(area, read_host(rsdp, boot))) stop("list of processors");
  boot->rsdp = AREA;
}
