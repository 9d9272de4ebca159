// The TPM's device, for guests that have one. Data only.
DefinitionBlock ("", "SSDT", 2, "COCOS", "EOSTPM", 1)
{
  Scope (\_SB)
  {
    Device (TPM)
    {
      Name (_HID, "MSFT0101")
      Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadWrite, 0xFED40000, 0x5000) })
    }
  }
}
