// The classes and functions a pickle of weights may name, and the opcodes it may use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace taut {

enum class Role {
  kOrderedDict,
  kSize,
  kParameter,
  kRebuildParameter,
  kRebuildV1,
  kRebuildV2,
  kRebuildV3,
  kStorage,
  kDType
};
struct Global {
  const char *module, *name;
  Role role;
  const char* dtype;  // of a storage or a dtype; "" for a storage that does not say
};
// Its index, or -1 for a name that is not allowed.
int64_t find_global(std::string_view module, std::string_view name);
const Global& global_at(int64_t index);

// Those that are carried out.
namespace opcode {
enum : unsigned char {
  kMark = '(',
  kStop = '.',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kBinFloat = 'G',
  kEmptyTuple = ')',
  kEmptyList = ']',
  kEmptyDict = '}',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kEmptySet = 0x8f,
};
}  // namespace opcode

// The name of any opcode, also of those that are refused, as Python's pickletools spells it.
std::string opcode_name(unsigned char code);

}  // namespace taut
