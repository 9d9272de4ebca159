/*
 * Firmware that a host has changed, as an EFI program: it publishes the host's ACPI tables again when the boot services
 * end, behind the back of what has replaced them. It starts the kernel image of KERNEL_BYTES bytes at address KERNEL.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define EFI __attribute__((ms_abi))
#define BOOT_SERVICES_DATA 4
#define EXIT_BOOT_SERVICES 0x201
/* Before the events of TPL_CALLBACK. */
#define TPL_NOTIFY 16

struct guid {
  u32 a;
  u16 b, c;
  u8 d[8];
};

/* UEFI specification 2.10, 4.4 and 4.3: what is used of them. */
struct services {
  u8 header[24];
  void *others1[5];
  EFI u64 (*allocate_pool)(u32 type, u64 size, void **at);
  void *free_pool;
  EFI u64 (*create_event)(u32 type, u64 tpl, EFI void (*notify)(void *event, void *context), void *context, void **event);
  void *others2[13];
  EFI u64 (*install_table)(const struct guid *id, void *table);
  EFI u64 (*load_image)(u8 is_policy, void *parent, void *path, void *source, u64 size, void **image);
  EFI u64 (*start_image)(void *image, u64 *size, u16 **exit);
};
_Static_assert(__builtin_offsetof(struct services, load_image) == 200, "boot services");

struct system {
  u8 header[24];
  void *vendor;
  u64 revision;
  void *consoles[6], *runtime;
  struct services *boot;
  u64 count;
  struct entry {
    struct guid id;
    void *table;
  } *entries;
};

struct host {
  struct services *boot;
  const struct guid *id;
  void *tables;
};

/* A number of the linker, wherever the program lies. */
#define NUMBER(name) ({ u64 n; __asm__("movabsq $" #name ", %0" : "=r"(n)); n; })

__asm__(".section .text.first, \"ax\"\n jmp start\n .text");

static void print(const char *text)
{
  for (; *text; text++) __asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((u16)0x3F8));
}

EFI static void republish(void *event, void *context)
{
  const struct host *host = context;
  (void)event;
  print("\nREPUBLISHED\n");
  host->boot->install_table(host->id, host->tables);
}

EFI u64 start(void *image, struct system *system);
EFI u64 start(void *image, struct system *system)
{
  struct services *boot = system->boot;
  struct host *host;
  void *room, *event, *kernel;
  if (boot->allocate_pool(BOOT_SERVICES_DATA, sizeof *host, &room)) return 1;
  host = room;
  host->boot = boot;
  host->tables = 0;
  for (u64 i = 0; i < system->count; i++) {
    /* The identifier of the tables of ACPI 2.0 begins so. */
    if (system->entries[i].id.a != 0x8868e871) continue;
    /* The list itself is made anew when something is added. */
    if (boot->allocate_pool(BOOT_SERVICES_DATA, sizeof(struct guid), &room)) return 1;
    *(struct guid *)room = system->entries[i].id;
    host->id = room;
    host->tables = system->entries[i].table;
  }
  if (!host->tables) return 1;
  if (boot->create_event(EXIT_BOOT_SERVICES, TPL_NOTIFY, republish, host, &event)) return 1;
  if (boot->load_image(0, image, 0, (void *)NUMBER(KERNEL), NUMBER(KERNEL_BYTES), &kernel)) return 1;
  return boot->start_image(kernel, 0, 0);
}
