// Folders with adapters of other libraries: sound ones of every kind, and what a hostile configuration, head or file of
// tensors may try.
#include "finetune/strategy.h"
#include "tests/fuzz/build_files.h"
#include "tests/fuzz/folder.h"
#include "tests/fuzz/models.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {
namespace {

const std::string kQuery = "vit.encoder.layer.0.attention.attention.query", kPeft = "base_model.model." + kQuery;
const std::string kLora = "tensors\n" + kPeft + ".lora_A.weight F32 2,8\n" + kPeft + ".lora_B.weight F32 8,2";
const std::string kHubLora = "tensors\n" + kQuery + ".loras.n.lora_A F32 2,8\n" + kQuery + ".loras.n.lora_B F32 8,2";
const std::string kHead = "tensors\nheads.h.1.weight F32 3,8\nheads.h.1.bias F32 3";

std::string lora_with(const std::string& keys) { return R"({"peft_type":"LORA","r":2,"lora_alpha":4)" + keys + "}"; }

std::string hub_with(const std::string& config, const std::string& name = "n") {
  return R"({"config":{)" + config + R"(},"name":")" + name + R"(","version":"adapters.1.3.0"})";
}
std::string hub_lora_with(const std::string& keys) {
  return hub_with(R"("architecture":"lora","r":2,"alpha":4)" + keys);
}
std::string head_with(const std::string& keys) { return hub_with(R"("head_type":"image_classification")" + keys, "h"); }

// What the library `adapters` stores of a strategy under the name n.
std::string hub_tensors(const char* strategy, const finetune::StrategyOptions& options) {
  std::string lines = "tensors";
  for (const nn::NameEntry& e : finetune::strategy(strategy).added_names(adapted_config(), options)) {
    std::string name = e.external;
    for (const std::string where : {"adapters.", "shared_parameters."})
      if (const size_t at = name.find(where + strategy + "."); at != std::string::npos)
        name.replace(at + where.size(), std::string(strategy).size(), "n");
    lines += "\n" + name + " F32 ";
    for (size_t i = 0; i < e.shape.size(); ++i) lines += (i ? "," : "") + std::to_string(e.shape[i]);
  }
  return lines;
}

}  // namespace

std::vector<Seed> adapter_seeds() {
  std::vector<Seed> seeds;
  const auto folder = [&](const std::string& name, const std::vector<FilePart>& files, const std::string& reason) {
    seeds.push_back({name, join_files(files), reason});
  };
  const auto peft = [&](const std::string& name, const std::string& config, const std::string& tensors,
                        const std::string& reason = "") {
    folder("peft: " + name, {{"adapter_config.json", config}, {"adapter_model.safetensors", tensors}}, reason);
  };
  const auto hub = [&](const std::string& name, const std::string& config, const std::string& tensors,
                       const std::string& reason = "") {
    folder("hub: " + name, {{"a/adapter_config.json", config}, {"a/adapter.safetensors", tensors}}, reason);
  };
  const auto head = [&](const std::string& name, const std::string& config, const std::string& tensors,
                        const std::string& reason = "") {
    folder("head: " + name, {{"head_config.json", config}, {"model_head.safetensors", tensors}}, reason);
  };

  peft("LoRA", lora_with(""), kLora);
  peft("LoRA by patterns", lora_with(R"(,"alpha_pattern":{"layer.0.*query":8},"use_rslora":true)"), kLora);
  peft("DoRA and a bias", lora_with(R"(,"use_dora":true)"), kLora + "\n" + kPeft + ".lora_magnitude_vector F32 8");
  peft("a bias of B, a parameter and a head", lora_with(""),
       kLora + "\n" + kPeft + ".lora_B.bias F32 8\n" + kPeft +
           ".base_layer.bias F32 8\nbase_model.model.classifier.weight F32 3,8");
  peft("(IA)^3", R"({"peft_type":"IA3"})",
       "tensors\n" + kPeft + ".ia3_l F32 8,1\nbase_model.model.vit.encoder.layer.1.output.dense.ia3_l F16 1,12");
  hub("LoRA", hub_lora_with(""), kHubLora);
  hub("(IA)^3", hub_with(R"("architecture":"lora","composition_mode":"scale","r":1,"alpha":1)"),
      "tensors\n" + kQuery + ".loras.n.lora_B F32 8,1");
  finetune::StrategyOptions options;
  options.bottleneck = 4;
  options.phm_n = 2;
  const std::string both = R"("mh_adapter":true,"output_adapter":true,"non_linearity":"gelu","original_ln_after":true)";
  const std::string phm = R"(,"phm_layer":true,"factorized_phm_W":true,"shared_phm_rule":true,"phm_bias":true)";
  const std::string adapters = hub_tensors("adapter", options), compacter = hub_tensors("compacter", options);
  hub("adapters", hub_with(both), adapters);
  hub("Compacter", hub_with(both + phm + R"(,"phm_dim":2)"), compacter);
  head("alone", head_with(""), kHead);
  folder("an adapter and a head",
         {{"a/adapter_config.json", hub_lora_with("")},
          {"a/adapter.safetensors", kHubLora},
          {"h/head_config.json", head_with("")},
          {"h/model_head.safetensors", kHead}},
         "");

  folder("nothing", {}, "expected adapter_config.json or head_config.json in this folder");
  folder("no tensors", {{"adapter_config.json", lora_with("")}},
         "expected adapter_model.safetensors or adapter_model.bin");
  folder("two adapters", {{"a/adapter_config.json", hub_lora_with("")}, {"b/adapter_config.json", hub_lora_with("")}},
         "expected one adapter_config.json, got one in");
  peft("damaged tensors", lora_with(""), safetensors("{}", 3), "expected 0 bytes of tensors, got 3");
  folder("a pickle that calls",
         {{"adapter_config.json", lora_with("")},
          {"adapter_model.bin",
           "\x80\x02"
           "cos\nsystem\n)R."}},
         "opcode GLOBAL at byte 2");

  peft("no JSON", "x", kLora, "expected a JSON object");
  peft("a list", "[]", kLora, "expected a JSON object");
  peft("cut off", R"({"peft_type":"LORA")", kLora, "expected a JSON object");
  peft("not UTF-8", "{\"peft_type\":\"\xff\"}", kLora, "expected a JSON object");
  peft("lists 100000 deep", R"({"x":)" + std::string(100'000, '['), kLora, "at most 16 nested values");
  peft("2 MiB", lora_with(",\"x\":\"" + std::string(2 << 20, 'x') + "\""), kLora, "at most 1 MiB");
  peft("a key twice", lora_with(R"(,"r":3)"), kLora, "key 'r' appears twice");
  peft("a key twice, inside", lora_with(R"(,"alpha_pattern":{"a":1,"a":2})"), kLora, "key 'a' appears twice");
  peft("an unknown key", lora_with(R"(,"use_magic":true)"), kLora, "key 'use_magic': expected no such key");
  peft("an unknown key of 500 kB", lora_with(",\"" + std::string(500'000, 'k') + "\":1"), kLora,
       "expected no such key");
  peft("another type", R"({"peft_type":"OFT"})", kLora, "expected LORA or IA3, got 'OFT'");
  peft("a type of 500 kB", R"({"peft_type":")" + std::string(500'000, 't') + "\"}", kLora, "expected LORA or IA3");
  peft("a type that is a number", R"({"peft_type":1})", kLora, "key 'peft_type': expected another type");
  peft("alpha that is a text", R"({"peft_type":"LORA","lora_alpha":"4"})", kLora, "key 'lora_alpha'");
  peft("alpha past all numbers", R"({"peft_type":"LORA","lora_alpha":1e999})", kLora, "expected a JSON object");
  peft("a pattern that repeats a group", lora_with(R"(,"alpha_pattern":{"(a*)*b":1})"), kLora, "none of a group");
  peft("a pattern of 1000 bytes", lora_with(",\"alpha_pattern\":{\"" + std::string(1000, 'a') + "\":1}"), kLora,
       "at most 200 bytes");
  peft("a pattern that is none", lora_with(R"(,"alpha_pattern":{"[":1})"), kLora, "is no regular expression");
  peft("patterns that are numbers", lora_with(R"(,"alpha_pattern":[1])"), kLora, "key 'alpha_pattern'");
  peft("a changed base", lora_with(R"(,"init_lora_weights":"pissa")"), kLora, "key 'init_lora_weights'");
  peft("rank 0", lora_with(""), "tensors\n" + kPeft + ".lora_A.weight F32 0,8\n" + kPeft + ".lora_B.weight F32 8,0",
       "(rank >= 1, ...)");
  peft("A alone", lora_with(""), "tensors\n" + kPeft + ".lora_A.weight F32 2,8", "lora_B");
  peft("A of another width", lora_with(""), "tensors\n" + kPeft + ".lora_A.weight F32 2,7",
       "(rank >= 1, ...) and then as (8, 8), got (2, 7)");
  peft("A with one dimension", lora_with(""), "tensors\n" + kPeft + ".lora_A.weight F32 8", "lora_A");
  peft("integers", lora_with(""), "tensors\n" + kPeft + ".lora_A.weight I64 2,8", "expected floating numbers, got");
  peft("a type nobody reads", lora_with(""), "tensors\n" + kPeft + ".lora_A.weight F8_E4M3 2,8", "got F8_E4M3");
  peft("a module that is not there", lora_with(""),
       "tensors\nbase_model.model.x.lora_A.weight F32 2,8\nbase_model.model.x.lora_B.weight F32 8,2",
       "the model has no parameter 'x.weight'");
  peft("the patches' convolution", lora_with(""),
       "tensors\nbase_model.model.vit.embeddings.patch_embeddings.projection.lora_A.weight F32 2,8",
       "lora_A of ... got (2, 8)");
  peft("another prefix", lora_with(""), "tensors\nx.lora_A.weight F32 2,8",
       "expected a name that begins with 'base_model.model.'");
  peft("a parameter that is not there", lora_with(""), kLora + "\nbase_model.model.x.bias F32 8", "is unexpected");
  peft("a name of 4000 bytes", lora_with(""),
       "tensors\nbase_model.model." + std::string(4000, 'a') + ".lora_A.weight F32 2,8", "the model has no parameter");
  peft("a name that commands a terminal", lora_with(""), "tensors\nbase_model.model.\x1b]0;x\x07 F32 2,8",
       "'base_model.model.\\x1b]0;x\\x07' is unexpected");
  peft("(IA)^3 that is said to be LoRA", lora_with(""), "tensors\n" + kPeft + ".ia3_l F32 8,1",
       "expected LoRA as the configuration says");
  peft("DoRA without magnitudes", lora_with(R"(,"use_dora":true)"), kLora, "expected a magnitude vector");
  peft("nothing in it", lora_with(""), "tensors", "expected adapted modules, got none");
  peft("a head of other classes", lora_with(""), kLora + "\nbase_model.model.classifier.weight F32 4,8",
       "hint: model.classes=4");

  hub("no name", R"({"config":{}})", kHubLora, "expected keys 'name' and 'config'");
  hub("no configuration", R"({"config":[],"name":"n"})", kHubLora, "expected keys 'name' and 'config'");
  hub("an architecture of 500 kB", hub_with("\"architecture\":\"" + std::string(500'000, 'a') + "\""), kHubLora,
      "expected lora or null");
  hub("rank 0", hub_with(R"("architecture":"lora","r":0)"), kHubLora, "expected a rank >= 1, got 0");
  hub("a rank that is a list", hub_with(R"("architecture":"lora","r":[2])"), kHubLora, "key 'r'");
  hub("another composition", hub_lora_with(R"(,"composition_mode":"x")"), kHubLora, "expected add or scale, got 'x'");
  hub("a name of 500 kB", hub_with(R"("architecture":"lora","r":2)", std::string(500'000, 'n')), kHubLora,
      "is unexpected in LoRA");
  hub("(IA)^3 with another alpha", hub_with(R"("architecture":"lora","composition_mode":"scale","r":1,"alpha":2)"),
      "tensors\n" + kQuery + ".loras.n.lora_B F32 8,1", "expected r in (IA)^3, got 2");
  hub("adapters with norms", hub_with(both + R"(,"ln_before":true)"), adapters, "key 'ln_before'");
  hub("adapters left out by a text", hub_with(both + R"(,"leave_out":["0"])"), adapters, "key 'leave_out'");
  hub("adapters left out by a broken number", hub_with(both + R"(,"leave_out":[0.5])"), adapters, "key 'leave_out'");
  hub("adapters left out past 2^63", hub_with(both + R"(,"leave_out":[18446744073709551615])"), adapters,
      "key 'leave_out'");
  hub("adapters that are left out and there", hub_with(both + R"(,"leave_out":[0])"), adapters, "is unexpected");
  hub("adapters nowhere", hub_with(R"("non_linearity":"gelu","original_ln_after":true)"), adapters, "is unexpected");
  hub("adapters of another name", hub_with(both, "m"), adapters, "expected bottlenecks called 'm', got none");
  hub("a bottleneck of 2^40", hub_with(both),
      "tensors\n" + kQuery + "adapters.n.adapter_down.0.bias F32 1099511627776,0", "expected a tensor");
  hub("phm_dim 0", hub_with(both + phm + R"(,"phm_dim":0)"), compacter, "expected a number from 1 to 1024, got 0");
  hub("phm_dim 1e300", hub_with(both + phm + R"(,"phm_dim":1e300)"), compacter, "key 'phm_dim'");
  hub("phm_dim 2.5", hub_with(both + phm + R"(,"phm_dim":2.5)"), compacter, "key 'phm_dim'");
  hub("phm_dim 3", hub_with(both + phm + R"(,"phm_dim":3)"), compacter, "phm_dim");
  hub("phm_rank 1024", hub_with(both + phm + R"(,"phm_dim":2,"phm_rank":1024)"), compacter, "tensor");

  head("another kind", hub_with(R"("head_type":"tagging")", "h"), kHead, "key 'head_type'");
  head("two layers", head_with(R"(,"layers":2)"), kHead, "key 'layers'");
  head("half of it", head_with(""), "tensors\nheads.h.1.weight F32 3,8", "expected a tensor 'heads.h.1.bias'");
  head("other classes", head_with(""), "tensors\nheads.h.1.weight F32 4,8\nheads.h.1.bias F32 4",
       "hint: model.classes=4");
  head("a scalar", head_with(""), "tensors\nheads.h.1.weight F32\nheads.h.1.bias F32 3", "expected (3, 8), got ()");
  head("and more", head_with(""), kHead + "\nheads.h.2.bias F32 3", "'heads.h.2.bias' is unexpected");
  return seeds;
}

}  // namespace taut::fuzz
