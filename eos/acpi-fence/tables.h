/*
 * The ACPI tables of the guest (ACPI specification 6.5, chapter 5). All of them are constants, except for their
 * addresses, the list of processors, whether there is a TPM, and up to three addresses of memory that the firmware keeps.
 * Those come from the tables of the host, after the checks below. No AML of the host is used.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef __UINTPTR_TYPE__ uptr;

#define PACKED __attribute__((packed))
#define APART __attribute__((aligned(64)))

/* gcc calls these two by name for the assignment of structures. */
void *memcpy(void *to, const void *from, __SIZE_TYPE__ n)
{
  u8 *t = to;
  const u8 *f = from;
  while (n--) *t++ = *f++;
  return to;
}

void *memset(void *to, int value, __SIZE_TYPE__ n)
{
  u8 *t = to;
  while (n--) *t++ = (u8)value;
  return to;
}

struct PACKED rsdp {
  char signature[8];
  u8 checksum;
  char oem[6];
  u8 revision;
  u32 rsdt, length;
  u64 xsdt;
  u8 whole_checksum, reserved[3];
};

struct PACKED header {
  char signature[4];
  u32 length;
  u8 revision, checksum;
  char oem[6], oem_table[8];
  u32 oem_revision;
  char creator[4];
  u32 creator_revision;
};

struct PACKED address {
  u8 space, bits, offset, access;
  u64 at;
};

struct PACKED fadt {
  struct header header;
  u32 facs, dsdt;
  u8 reserved0, profile;
  u16 sci;
  u32 smi_command;
  u8 acpi_enable, acpi_disable, s4bios, pstate;
  u32 pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
  u8 pm1_event_length, pm1_control_length, pm2_control_length, pm_timer_length;
  u8 gpe0_length, gpe1_length, gpe1_base, cstate;
  u16 c2_latency, c3_latency, flush_size, flush_stride;
  u8 duty_offset, duty_width, day_alarm, month_alarm, century;
  u16 boot_flags;
  u8 reserved1;
  u32 flags;
  struct address reset;
  u8 reset_value;
  u16 arm_flags;
  u8 minor;
  u64 x_facs, x_dsdt;
  struct address x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control, x_pm_timer, x_gpe0, x_gpe1;
  struct address sleep_control, sleep_status;
};
_Static_assert(sizeof(struct fadt) == 268, "FADT of revision 5");

struct PACKED facs {
  char signature[4];
  u32 length, hardware, waking, lock, flags;
  u64 x_waking;
  u8 version, reserved[31];
};
_Static_assert(sizeof(struct facs) == 64, "FACS");

/* TCG ACPI specification 1.3, table 7. */
struct PACKED tpm2 {
  struct header header;
  u16 platform_class, reserved;
  u64 control;
  u32 start_method;
  u8 parameters[12];
  u32 log_length;
  u64 log;
};
_Static_assert(sizeof(struct tpm2) == 76, "TPM2");

/* IA-PC HPET specification 1.0a, 3.2.4. */
struct PACKED hpet {
  struct header header;
  u32 id;
  struct address address;
  u8 number;
  u16 least_ticks;
  u8 protection;
};
_Static_assert(sizeof(struct hpet) == 56, "HPET");

/* Guest-Host-Communication Interface for Intel TDX, 4.3.3: the event log of a trust domain. */
struct PACKED ccel {
  struct header header;
  u8 kind, subkind;
  u16 reserved;
  u64 length, log;
};
_Static_assert(sizeof(struct ccel) == 56, "CCEL");

#define MADT_ENTRIES 3300
struct PACKED madt {
  struct header header;
  u32 local_apic, flags;
  u8 entries[MADT_ENTRIES];
};

static const u8 DSDT[] = {
#include "dsdt.inc"
};
/* The TPM's device, listed only where there is a TPM. */
static const u8 TPM_SSDT[] = {
#include "tpm.inc"
};

#define MOST_TABLES 6
struct area {
  struct rsdp rsdp APART;
  struct PACKED {
    struct header header;
    u64 tables[MOST_TABLES];
  } xsdt APART;
  struct fadt fadt APART;
  struct facs facs APART;
  struct hpet hpet APART;
  struct tpm2 tpm2 APART;
  struct ccel ccel APART;
  u8 dsdt[sizeof DSDT] APART;
  u8 tpm_ssdt[sizeof TPM_SSDT] APART;
  struct madt madt APART;
  /* For the entry's own use. */
  void *notes[2] APART;
};
#define AREA_PAGES 2
_Static_assert(sizeof(struct area) <= AREA_PAGES * 4096, "room for the tables");

/* What is used of the host's tables, and the memory map in the form of the entry's file. */
struct host {
  const void *map;
  const struct madt *madt;
  const struct tpm2 *tpm2;
  const struct ccel *ccel;
};

/* Whether the firmware keeps this memory from the kernel, so that nothing of the kernel ever lies there. */
static int is_kept(const void *map, u64 at, u64 length);

static u8 sum(const void *table, u32 length)
{
  const u8 *p = table;
  u8 all = 0;
  while (length--) all += *p++;
  return all;
}

static int is_signed(const void *table, const char *signature, u32 length)
{
  const char *p = table;
  while (length--)
    if (*p++ != *signature++) return 0;
  return 1;
}

static void seal(struct header *table)
{
  table->checksum = 0;
  table->checksum = -sum(table, table->length);
}

#define HEADER(name, bytes, rev) \
  { name, bytes, rev, 0, "COCOS", "EOSTABLE", 1, "EOS", 1 }

/* Finds the tables that are used. The first of each kind counts; a list that is too long is cut. */
static struct host read_host(const struct rsdp *rsdp, const void *map)
{
  struct host host = { map, 0, 0, 0 };
  int is_wide = rsdp->revision >= 2 && rsdp->xsdt;
  const struct header *list = (const struct header *)(uptr)(is_wide ? rsdp->xsdt : rsdp->rsdt);
  const u8 *entries = (const u8 *)(list + 1);
  u32 each = is_wide ? 8 : 4, at;
  for (at = 0; list && list->length <= 4096 && at + each + sizeof *list <= list->length; at += each) {
    u64 address = 0;
    memcpy(&address, entries + at, each);
    const void *table = (const void *)(uptr)address;
    if (!table) continue;
    if (!host.madt && is_signed(table, "APIC", 4)) host.madt = table;
    if (!host.tpm2 && is_signed(table, "TPM2", 4)) host.tpm2 = table;
    if (!host.ccel && is_signed(table, "CCEL", 4)) host.ccel = table;
  }
  return host;
}

static int is_trust_domain(void)
{
  u32 a = 0, b, c = 0, d;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  if (a < 0x21) return 0;
  a = 0x21;
  c = 0;
  __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return b == 0x65746e49 && d == 0x5844546c && c == 0x20202020; /* "IntelTDX    " */
}

/* The interrupts of QEMU's q35: one I/O APIC; the timer at pin 2; the ISA interrupts that PCI shares are level triggered. */
static const u8 INTERRUPTS[] = {
  1, 12, 0, 0, 0x00, 0x00, 0xC0, 0xFE, 0, 0, 0, 0, /* I/O APIC 0 at 0xFEC00000, from interrupt 0 */
  2, 10, 0, 0, 2, 0, 0, 0, 0, 0,                   /* interrupt 0 is pin 2 */
  2, 10, 0, 5, 5, 0, 0, 0, 13, 0,                  /* active high, level triggered */
  2, 10, 0, 9, 9, 0, 0, 0, 13, 0,
  2, 10, 0, 10, 10, 0, 0, 0, 13, 0,
  2, 10, 0, 11, 11, 0, 0, 0, 13, 0,
  4, 6, 0xFF, 0, 0, 1,                             /* NMI at LINT1 of every processor */
};

/*
 * The list of processors: of the host's, the identifiers of those that it calls enabled. In a trust domain also the mailbox
 * through which the kernel wakes them, if the firmware keeps that memory. Returns 0 when it names no processor or too many.
 */
static int write_madt(struct madt *own, const struct madt *host, const void *map, int is_td)
{
  u32 length = host->header.length, fixed = sizeof *host - MADT_ENTRIES, at, end = 0, count = 0;
  u64 mailbox = 0;
  /* As long as it says, which need not be as long as ours. */
  const u8 *entries = (const u8 *)host + fixed;
  if (length < fixed || length > 65536) return 0;
  for (at = 0; at + 2 <= length - fixed; at += entries[at + 1]) {
    const u8 *entry = entries + at;
    u8 kind = entry[0], size = entry[1];
    u32 id, flags;
    if (size < 2 || at + size > length - fixed) return 0;
    if (kind == 16 && size == 16) memcpy(&mailbox, entry + 8, 8);
    if (kind == 0 && size == 8) {
      id = entry[3];
      memcpy(&flags, entry + 4, 4);
    } else if (kind == 9 && size == 16) {
      memcpy(&id, entry + 4, 4);
      memcpy(&flags, entry + 8, 4);
    } else continue;
    if (!(flags & 1)) continue;
    if (end + 16 + 16 + sizeof INTERRUPTS > MADT_ENTRIES) return 0;
    u8 *to = own->entries + end;
    memset(to, 0, 16);
    if (id < 0xFF) {
      to[0] = 0, to[1] = 8, to[2] = (u8)count, to[3] = (u8)id, to[4] = 1;
    } else {
      to[0] = 9, to[1] = 16, to[8] = 1;
      memcpy(to + 4, &id, 4);
      memcpy(to + 12, &count, 4);
    }
    end += to[1];
    count++;
  }
  memcpy(own->entries + end, INTERRUPTS, sizeof INTERRUPTS);
  end += sizeof INTERRUPTS;
  if (is_td && mailbox && !(mailbox & 4095) && is_kept(map, mailbox, 4096)) {
    u8 *to = own->entries + end;
    memset(to, 0, 16);
    to[0] = 16, to[1] = 16;
    memcpy(to + 8, &mailbox, 8);
    end += 16;
  }
  own->header = (struct header)HEADER("APIC", fixed + end, 3);
  own->local_apic = 0xFEE00000;
  own->flags = 1;
  seal(&own->header);
  return count > 0;
}

/* Writes the tables into an empty area below 4 GiB. Returns 0 when the host's list of processors is unusable. */
static int write_tables(struct area *area, struct host host)
{
  int is_td = is_trust_domain();
  u32 count = 0;
  if (!host.madt || !write_madt(&area->madt, host.madt, host.map, is_td)) return 0;
  memcpy(area->dsdt, DSDT, sizeof DSDT);
  area->facs = (struct facs){ .signature = "FACS", .length = 64, .version = 2 };
  /* The ICH9's power management block where all firmware for q35 puts it. No SMI command, no general purpose events. */
  area->fadt = (struct fadt){
    .header = HEADER("FACP", sizeof(struct fadt), 5),
    .facs = (u32)(uptr)&area->facs, .dsdt = (u32)(uptr)area->dsdt, .x_dsdt = (uptr)area->dsdt,
    .sci = 9, .pm1a_event = 0x600, .pm1a_control = 0x604, .pm_timer = 0x608,
    .pm1_event_length = 4, .pm1_control_length = 2, .pm_timer_length = 4,
    .c2_latency = 0xFFF, .c3_latency = 0xFFF, .century = 0x32,
    /* WBINVD works; C1 on all processors; neither button is a fixed one; there is a reset register. */
    .flags = 1 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 10,
    .reset = { 1, 8, 0, 1, 0xCF9 }, .reset_value = 0x0F,
    .x_pm1a_event = { 1, 32, 0, 2, 0x600 }, .x_pm1a_control = { 1, 16, 0, 2, 0x604 }, .x_pm_timer = { 1, 32, 0, 3, 0x608 },
  };
  seal(&area->fadt.header);
  area->xsdt.tables[count++] = (uptr)&area->fadt;
  area->xsdt.tables[count++] = (uptr)&area->madt;
  /* A machine without one reads as all ones there, and the kernel then does without. */
  area->hpet = (struct hpet){
    .header = HEADER("HPET", sizeof(struct hpet), 1), .id = 0x8086A201, .address = { 0, 0, 0, 0, 0xFED00000 },
  };
  seal(&area->hpet.header);
  area->xsdt.tables[count++] = (uptr)&area->hpet;
  if (host.tpm2) {
    u32 length = host.tpm2->header.length >= sizeof *host.tpm2 ? host.tpm2->log_length : 0;
    /* A command response buffer at its fixed address. */
    area->tpm2 = (struct tpm2){
      .header = HEADER("TPM2", sizeof(struct tpm2), 4), .control = 0xFED40040, .start_method = 7,
    };
    /* The kernel reads the log and the agent sends it to everyone: it must not be memory with secrets. */
    if (length && is_kept(host.map, host.tpm2->log, length)) {
      area->tpm2.log_length = length;
      area->tpm2.log = host.tpm2->log;
    }
    seal(&area->tpm2.header);
    memcpy(area->tpm_ssdt, TPM_SSDT, sizeof TPM_SSDT);
    area->xsdt.tables[count++] = (uptr)&area->tpm2;
    area->xsdt.tables[count++] = (uptr)area->tpm_ssdt;
  }
  if (is_td && host.ccel && host.ccel->header.length >= sizeof *host.ccel &&
      is_kept(host.map, host.ccel->log, host.ccel->length)) {
    area->ccel = (struct ccel){
      .header = HEADER("CCEL", sizeof(struct ccel), 1),
      .kind = 2, .length = host.ccel->length, .log = host.ccel->log, /* 2: TDX */
    };
    seal(&area->ccel.header);
    area->xsdt.tables[count++] = (uptr)&area->ccel;
  }
  area->xsdt.header = (struct header)HEADER("XSDT", sizeof(struct header) + count * 8, 1);
  seal(&area->xsdt.header);
  area->rsdp = (struct rsdp){
    .signature = "RSD PTR ", .oem = "COCOS", .revision = 2, .length = sizeof(struct rsdp), .xsdt = (uptr)&area->xsdt,
  };
  area->rsdp.checksum = -sum(&area->rsdp, 20);
  area->rsdp.whole_checksum = -sum(&area->rsdp, sizeof area->rsdp);
  return 1;
}

#define SERIAL 0x3F8
#define MOST_WAITS 100000
static void print(const char *text)
{
  for (; *text; text++) {
    u8 status = 0;
    /* Until there is room for a character, or there is no port. */
    for (u32 i = 0; !(status & 0x20) && i < MOST_WAITS; i++)
      __asm__ volatile("inb %1, %0" : "=a"(status) : "Nd"((u16)(SERIAL + 5)));
    __asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((u16)SERIAL));
  }
}

/* Tells the reason on the console, in the form of init's failures. */
static void complain(const char *reason)
{
  print("\nCOCOS-INIT-FAILED: acpi-fence: ");
  print(reason);
  print("\n");
}

/* A triple fault, which ends the guest. */
__attribute__((noreturn)) static void stop(const char *reason)
{
  static const u8 no_handlers[10];
  complain(reason);
  for (;;) __asm__ volatile("lidt %0; ud2" : : "m"(no_handlers));
}
