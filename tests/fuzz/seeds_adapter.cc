// Folders with adapters of other libraries: sound ones of every kind, and what a hostile configuration, head or file of
// tensors may try.
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
// Of the ResNet.
const std::string kConv = "base_model.model.layer1.0.conv1", kNorm = "base_model.model.layer2.0.bn1";
const std::string kConvLora =
    "tensors\n" + kConv + ".lora_A.weight F32 2,4,3,3\n" + kConv + ".lora_B.weight F32 4,2,1,1";
const std::string kNorms = "\n" + kNorm + ".weight F32 6\n" + kNorm + ".bias F32 6\n" + kNorm +
                           ".running_mean F32 6\n" + kNorm + ".running_var F32 6\n" + kNorm +
                           ".num_batches_tracked I64";

std::string head_with(const std::string& keys) { return hub_with(R"("head_type":"image_classification")" + keys, "h"); }

// What the library `adapters` stores of a strategy under a name.
std::string hub_tensors(const char* strategy, const std::string& under = "n") {
  std::string lines = "tensors";
  for (const nn::NameEntry& e : finetune::strategy(strategy).added_names(adapted_config(), small_options())) {
    std::string name = e.external;
    const size_t at = name.find(fmt::format("s.{}.", strategy)) + 2;
    name.replace(at, std::string(strategy).size(), under);
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
  const auto conv = [&](const std::string& name, const std::string& config, const std::string& tensors,
                        const std::string& reason = "") {
    folder("conv: " + name, {{"resnet", ""}, {"adapter_config.json", config}, {"adapter_model.safetensors", tensors}},
           reason);
  };
  const auto hub = [&](const std::string& name, const std::string& config, const std::string& tensors,
                       const std::string& reason = "") {
    folder("hub: " + name, {{"a/adapter_config.json", config}, {"a/adapter.safetensors", tensors}}, reason);
  };
  const auto head = [&](const std::string& name, const std::string& config, const std::string& tensors,
                        const std::string& reason = "") {
    folder("head: " + name, {{"head_config.json", config}, {"model_head.safetensors", tensors}}, reason);
  };

  std::string optional;
  for (int i = 0; i < 60; ++i) optional += ".?";

  peft("LoRA", lora_with(""), kLora);
  peft("LoRA by patterns", lora_with(R"(,"alpha_pattern":{"layer.0.*query":8},"use_rslora":true)"), kLora);
  peft("DoRA and a bias", lora_with(R"(,"use_dora":true)"), kLora + "\n" + kPeft + ".lora_magnitude_vector F32 8");
  peft("a bias of B, a parameter and a head", lora_with(""),
       kLora + "\n" + kPeft + ".lora_B.bias F32 8\n" + kPeft +
           ".base_layer.bias F32 8\nbase_model.model.classifier.weight F32 3,8");
  peft("(IA)^3", R"({"peft_type":"IA3"})",
       "tensors\n" + kPeft + ".ia3_l F32 8,1\nbase_model.model.vit.encoder.layer.1.output.dense.ia3_l F16 1,12");
  peft("(IA)^3 of inputs by a pattern of many ways",
       R"({"peft_type":"IA3","feedforward_modules":")" + optional + "z\"}", "tensors\n" + kPeft + ".ia3_l F32 8,1");
  const std::string norm = "base_model.model.vit.encoder.layer.1.layernorm_after.ln_tuning_layers";
  const std::string ln = R"({"peft_type":"LN_TUNING"})", norms = "tensors\n" + norm + ".weight F32 8";
  peft("LN-tuning and a head", ln, norms + "\n" + norm + ".bias F32 8\nbase_model.model.classifier.weight F32 3,8");
  hub("LoRA", hub_lora_with(""), kHubLora);
  hub("(IA)^3", hub_with(R"("architecture":"lora","composition_mode":"scale","r":1,"alpha":1)"),
      "tensors\n" + kQuery + ".loras.n.lora_B F32 8,1");
  const std::string both = R"("mh_adapter":true,"output_adapter":true,"non_linearity":"gelu","original_ln_after":true)";
  const std::string phm = R"(,"phm_layer":true,"factorized_phm_W":true,"shared_phm_rule":true,"phm_bias":true)";
  const std::string adapters = hub_tensors("adapter"), compacter = hub_tensors("compacter");
  hub("adapters", hub_with(both), adapters);
  hub("Compacter", hub_with(both + phm + R"(,"phm_dim":2)"), compacter);
  const std::string numbered = "layer.99999999999999999999.adapter_up.shared_parameters.compacter";
  hub("a name like a layer's", hub_with(both + phm + R"(,"phm_dim":2)", numbered), hub_tensors("compacter", numbered));
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
  peft("another type", R"({"peft_type":"OFT"})", kLora, "expected LORA, IA3 or LN_TUNING, got 'OFT'");
  peft("a type of 500 kB", R"({"peft_type":")" + std::string(500'000, 't') + "\"}", kLora, "expected LORA, IA3 or");
  peft("a type that is a number", R"({"peft_type":1})", kLora, "key 'peft_type': expected another type");
  peft("alpha that is a text", R"({"peft_type":"LORA","lora_alpha":"4"})", kLora, "key 'lora_alpha'");
  peft("alpha past all numbers", R"({"peft_type":"LORA","lora_alpha":1e999})", kLora, "expected a JSON object");
  peft("patterns that repeat and nest", lora_with(R"(,"alpha_pattern":{"(a*)*b":1,"(?:\\w+\\.)*query":2,"x|.?y":3})"),
       kLora);
  peft("a pattern of 2^60 ways", lora_with(",\"alpha_pattern\":{\"" + optional + "z\":1}"), kLora);
  peft("a pattern of 4000^4 ways", lora_with(R"(,"alpha_pattern":{".*.*.*.*z":1})"),
       "tensors\nbase_model.model." + std::string(3900, 'a') + ".lora_A.weight F32 2,8", "the model has no parameter");
  peft("a pattern that looks ahead", lora_with(R"(,"alpha_pattern":{"(?=.*(?=.*(?=.*(?=.*z))))x":1})"), kLora,
       "expected a regular expression without counted repetitions and groups other than");
  peft("a pattern that counts", lora_with(R"(,"alpha_pattern":{"a{99999}":1})"), kLora, "without counted repetitions");
  peft("a pattern that refers back", lora_with(R"(,"alpha_pattern":{"(a*)\\2":1})"), kLora,
       "expected a regular expression that is one");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += (i ? "," : "") + fmt::format("\"x{}\":1", i);
  peft("1000 patterns", lora_with(",\"alpha_pattern\":{" + many + "}"), kLora, "of at most 16384 bytes");
  peft("a pattern of 1000 bytes", lora_with(",\"alpha_pattern\":{\"" + std::string(1000, 'a') + "\":1}"), kLora,
       "at most 200 bytes");
  peft("a pattern that is none", lora_with(R"(,"alpha_pattern":{"[":1})"), kLora,
       "expected a regular expression that is one");
  peft("patterns that are numbers", lora_with(R"(,"alpha_pattern":[1])"), kLora, "key 'alpha_pattern'");
  peft("a changed base", lora_with(R"(,"init_lora_weights":"pissa")"), kLora, "key 'init_lora_weights'");
  peft("rank 0", lora_with(""), "tensors\n" + kPeft + ".lora_A.weight F32 0,8\n" + kPeft + ".lora_B.weight F32 8,0",
       "(rank >= 1, ...)");
  peft("rank 3 by the configuration", R"({"peft_type":"LORA","r":3})", kLora, "expected rank 3, as ");
  peft("rank 3 by a pattern", lora_with(R"(,"rank_pattern":{"query":3})"), kLora, "expected rank 3, as ");
  peft("a rank that is a text", R"({"peft_type":"LORA","r":"2"})", kLora, "key 'r'");
  peft("a pattern of ranks that counts", lora_with(R"(,"rank_pattern":{"a{99999}":1})"), kLora,
       "without counted repetitions");
  peft("LN-tuning of a norm that is not there", ln, norms + "\nbase_model.model.x.ln_tuning_layers.weight F32 8",
       "is unexpected");
  peft("LN-tuning of another width", ln, "tensors\n" + norm + ".weight F32 8,1", "expected (8), got (8, 1)");
  peft("LN-tuning that is LoRA", ln, kLora, "expected LN-tuning as the configuration says");
  peft("LN-tuning of nothing but a head", ln, "tensors\nbase_model.model.classifier.weight F32 3,8",
       "expected adapted modules, got none");
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
  hub("another rank", hub_with(R"("architecture":"lora","r":3)"), kHubLora, "lora_A': expected rank 3, as key 'r'");
  hub("(IA)^3 of rank 2", hub_with(R"("architecture":"lora","composition_mode":"scale","r":2,"alpha":2)"),
      "tensors\n" + kQuery + ".loras.n.lora_B F32 8,1", "key 'r': expected 1 in (IA)^3, got 2");
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

  const std::string down = "base_model.model.layer2.0.downsample.0", fc = "base_model.model.fc";
  const std::string ia3 = R"({"peft_type":"IA3","feedforward_modules":".*conv2"})";
  conv("LoRA", lora_with(""), kConvLora);
  conv("LoRA of a shortcut, the head and a batch norm", lora_with(R"(,"modules_to_save":["bn1","fc"])"),
       "tensors\n" + down + ".lora_A.weight F32 2,4,1,1\n" + down + ".lora_B.weight F32 6,2,1,1\n" + fc +
           ".weight F32 3,6\n" + fc + ".bias F32 3" + kNorms);
  conv("LoRA of the head", lora_with(""),
       "tensors\n" + fc + ".lora_A.weight F32 2,6\n" + fc + ".lora_B.weight F32 3,2\n" + fc + ".lora_B.bias F32 3");
  conv("DoRA", lora_with(R"(,"use_dora":true)"), kConvLora + "\n" + kConv + ".lora_magnitude_vector F32 4,1,1,1");
  conv("(IA)^3", ia3,
       "tensors\n" + kConv + ".ia3_l F32 1,4,1,1\nbase_model.model.layer2.0.conv2.ia3_l F32 1,6,1,1\n" + fc +
           ".ia3_l F32 3,1");
  conv("A of another kernel", lora_with(""), "tensors\n" + kConv + ".lora_A.weight F32 2,4,1,1", "lora_A of");
  conv("A of a linear layer", lora_with(""), "tensors\n" + kConv + ".lora_A.weight F32 2,4", "lora_A of");
  conv("A as large as a file may say", lora_with(""), "tensors\n" + kConv + ".lora_A.weight F32 4294967296,4,3,3",
       "tensor");
  conv("B of a linear layer", lora_with(""),
       "tensors\n" + kConv + ".lora_A.weight F32 2,4,3,3\n" + kConv + ".lora_B.weight F32 4,2", "lora_B of");
  conv("a bias that has no place", lora_with(""), kConvLora + "\n" + kConv + ".lora_B.bias F32 4", "lora_B.bias");
  conv("LoRA of a batch norm", lora_with(""), "tensors\nbase_model.model.bn1.lora_A.weight F32 2,4",
       "is no linear layer and no convolution");
  conv("(IA)^3 of another width", ia3, "tensors\n" + kConv + ".ia3_l F32 1,5,1,1", "(1, 4, 1, 1)");
  conv("statistics of another width", lora_with(""), kConvLora + "\n" + kNorm + ".running_var F32 4",
       "expected (6), got (4)");
  conv("statistics that are integers", lora_with(""), kConvLora + "\n" + kNorm + ".running_var I64 6",
       "expected floating numbers");
  conv("a counter of nothing", lora_with(""), kConvLora + "\nbase_model.model.x.num_batches_tracked I64",
       "expected floating numbers");
  folder("conv: AdapterHub's",
         {{"resnet", ""}, {"a/adapter_config.json", hub_lora_with("")}, {"a/adapter.safetensors", kHubLora}},
         "AdapterHub's library has transformers only");
  return seeds;
}

}  // namespace taut::fuzz
