// All AML of the guest besides tpm.asl. It holds data only: no method, no operation region.
DefinitionBlock ("", "DSDT", 2, "COCOS", "EOSTABLE", 1)
{
  // What to write to power off.
  Name (\_S5, Package () { Zero, Zero, Zero, Zero })
  Scope (\_SB)
  {
    Device (PCI0)
    {
      Name (_HID, EisaId ("PNP0A08"))
      Name (_CID, EisaId ("PNP0A03"))
      Name (_UID, Zero)
      Name (_BBN, Zero)
      // No memory windows: the kernel takes the addresses that the firmware gave to the devices (pci=nocrs).
      Name (_CRS, ResourceTemplate ()
      {
        WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xFF, 0, 0x100)
        IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
      })
    }
  }
}
