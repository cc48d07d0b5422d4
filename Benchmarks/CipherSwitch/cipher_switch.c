#include "CCipherSwitch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static bool cipher_is_missing = false;

void remove_cipher(void) { cipher_is_missing = true; }

#define SEAL CCryptoBoringSSL_EVP_AEAD_CTX_seal
#define OPEN CCryptoBoringSSL_EVP_AEAD_CTX_open
#define JOIN(a, b) a##b
#define REAL(name) JOIN(__real_, name)
#define WRAP(name) JOIN(__wrap_, name)
#define PARAMETERS                                                                                                    \
  const void *context, uint8_t *output, size_t *output_length, size_t capacity, const uint8_t *nonce,                \
      size_t nonce_length, const uint8_t *input, size_t input_length, const uint8_t *additional,                     \
      size_t additional_length
#define ARGUMENTS                                                                                                     \
  context, output, output_length, capacity, nonce, nonce_length, input, input_length, additional, additional_length

enum { tag_length = 16 };

int REAL(SEAL)(PARAMETERS);
int REAL(OPEN)(PARAMETERS);
int WRAP(SEAL)(PARAMETERS);
int WRAP(OPEN)(PARAMETERS);

int WRAP(SEAL)(PARAMETERS) {
  if (!cipher_is_missing) return REAL(SEAL)(ARGUMENTS);
  memmove(output, input, input_length);
  memset(output + input_length, 0, tag_length);
  *output_length = input_length + tag_length;
  return 1;
}

int WRAP(OPEN)(PARAMETERS) {
  if (!cipher_is_missing) return REAL(OPEN)(ARGUMENTS);
  if (input_length < tag_length) return 0;
  *output_length = input_length - tag_length;
  memmove(output, input, *output_length);
  return 1;
}
