#include "tensor/files/pickle_names.h"

#include <fmt/format.h>

#include <iterator>

namespace taut {
namespace {

constexpr Global kGlobals[] = {
    {"collections", "OrderedDict", Role::kOrderedDict, ""},
    {"torch", "Size", Role::kSize, ""},
    {"torch.nn.parameter", "Parameter", Role::kParameter, ""},
    {"torch._utils", "_rebuild_parameter", Role::kRebuildParameter, ""},
    {"torch._utils", "_rebuild_tensor", Role::kRebuildV1, ""},
    {"torch._utils", "_rebuild_tensor_v2", Role::kRebuildV2, ""},
    {"torch._utils", "_rebuild_tensor_v3", Role::kRebuildV3, ""},
    {"torch", "FloatStorage", Role::kStorage, "F32"},
    {"torch", "HalfStorage", Role::kStorage, "F16"},
    {"torch", "BFloat16Storage", Role::kStorage, "BF16"},
    {"torch", "DoubleStorage", Role::kStorage, "F64"},
    {"torch", "LongStorage", Role::kStorage, "I64"},
    {"torch", "IntStorage", Role::kStorage, "I32"},
    {"torch", "ShortStorage", Role::kStorage, "I16"},
    {"torch", "CharStorage", Role::kStorage, "I8"},
    {"torch", "ByteStorage", Role::kStorage, "U8"},
    {"torch", "BoolStorage", Role::kStorage, "BOOL"},
    {"torch.storage", "UntypedStorage", Role::kStorage, "U8"},
    {"torch.storage", "TypedStorage", Role::kStorage, ""},
    {"torch", "float32", Role::kDType, "F32"},
    {"torch", "float64", Role::kDType, "F64"},
    {"torch", "float16", Role::kDType, "F16"},
    {"torch", "bfloat16", Role::kDType, "BF16"},
    {"torch", "int64", Role::kDType, "I64"},
    {"torch", "int32", Role::kDType, "I32"},
    {"torch", "int16", Role::kDType, "I16"},
    {"torch", "int8", Role::kDType, "I8"},
    {"torch", "uint8", Role::kDType, "U8"},
    {"torch", "uint16", Role::kDType, "U16"},
    {"torch", "uint32", Role::kDType, "U32"},
    {"torch", "uint64", Role::kDType, "U64"},
    {"torch", "bool", Role::kDType, "BOOL"},
};

// Names of all opcodes, for messages.
struct OpcodeName {
  unsigned char code;
  const char* name;
};
constexpr OpcodeName kOpcodeNames[] = {
    {'(', "MARK"},
    {'.', "STOP"},
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {'F', "FLOAT"},
    {'I', "INT"},
    {'J', "BININT"},
    {'K', "BININT1"},
    {'L', "LONG"},
    {'M', "BININT2"},
    {'N', "NONE"},
    {'P', "PERSID"},
    {'Q', "BINPERSID"},
    {'R', "REDUCE"},
    {'S', "STRING"},
    {'T', "BINSTRING"},
    {'U', "SHORT_BINSTRING"},
    {'V', "UNICODE"},
    {'X', "BINUNICODE"},
    {'a', "APPEND"},
    {'b', "BUILD"},
    {'c', "GLOBAL"},
    {'d', "DICT"},
    {'}', "EMPTY_DICT"},
    {'e', "APPENDS"},
    {'g', "GET"},
    {'h', "BINGET"},
    {'i', "INST"},
    {'j', "LONG_BINGET"},
    {'l', "LIST"},
    {']', "EMPTY_LIST"},
    {'o', "OBJ"},
    {'p', "PUT"},
    {'q', "BINPUT"},
    {'r', "LONG_BINPUT"},
    {'s', "SETITEM"},
    {'t', "TUPLE"},
    {')', "EMPTY_TUPLE"},
    {'u', "SETITEMS"},
    {'G', "BINFLOAT"},
    {0x80, "PROTO"},
    {0x81, "NEWOBJ"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {0x85, "TUPLE1"},
    {0x86, "TUPLE2"},
    {0x87, "TUPLE3"},
    {0x88, "NEWTRUE"},
    {0x89, "NEWFALSE"},
    {0x8a, "LONG1"},
    {0x8b, "LONG4"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
    {0x8c, "SHORT_BINUNICODE"},
    {0x8d, "BINUNICODE8"},
    {0x8e, "BINBYTES8"},
    {0x8f, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
};

}  // namespace

int64_t find_global(std::string_view module, std::string_view name) {
  for (size_t i = 0; i < std::size(kGlobals); ++i)
    if (module == kGlobals[i].module && name == kGlobals[i].name) return static_cast<int64_t>(i);
  return -1;
}

const Global& global_at(int64_t index) { return kGlobals[index]; }

std::string opcode_name(unsigned char code) {
  for (const OpcodeName& o : kOpcodeNames)
    if (o.code == code) return o.name;
  return fmt::format("{:#04x}", code);
}

}  // namespace taut
