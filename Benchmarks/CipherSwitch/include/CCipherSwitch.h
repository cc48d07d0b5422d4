// The cipher of the packet path, with a switch. The benchmark's executable alone is linked with it, by `--wrap`: the linker leads calls of
// BoringSSL's functions here, so the product has no such switch.
#pragma once

#include "SlowDisk.h"

// From now on sealing copies and adds 16 zero bytes, and opening believes everything. For good; called before the first packet.
void remove_cipher(void);
