// Deltas of ours, to be loaded or written in the layouts of other libraries: sound ones, and what a hostile file may
// say in its metadata, names and shapes.
#include "tests/fuzz/folder.h"
#include "tests/fuzz/models.h"
#include "tests/fuzz/seeds.h"

namespace taut::fuzz {

std::vector<Seed> delta_seeds() {
  std::vector<Seed> seeds;
  const auto add = [&](const std::string& name, const std::string& to, const std::string& text,
                       const std::string& reason = "") {
    seeds.push_back({name, join_files({{to, text}}), reason});
  };
  // The delta with one text in it changed.
  const auto changed = [&](const std::string& name, const std::string& to, std::string text, const std::string& what,
                           const std::string& by, const std::string& reason) {
    text.replace(text.find(what), what.size(), by);
    add(name, to, text, reason);
  };
  const nn::VitConfig vit = adapted_config();
  const nn::ResNetConfig resnet = adapted_resnet();
  const std::string lora = delta_text(vit, "lora"), ia3 = delta_text(vit, "ia3"), lp = delta_text(vit, "lp"),
                    adapter = delta_text(vit, "adapter"), compacter = delta_text(vit, "compacter"),
                    conv = delta_text(resnet, "lora");
  for (const auto& [strategy, text] :
       {std::pair{"lora", lora}, {"lp", lp}, {"adapter", adapter}, {"compacter", compacter}})
    add(std::string("load ") + strategy, std::string("vit.") + strategy, text);
  add("load LoRA of convolutions", "resnet.lora", conv);
  add("load batch norms", "resnet.bn", delta_text(resnet, "bn"));
  for (const char* to : {"peft", "peft_v5", "adapterhub"}) {
    add(std::string("LoRA to ") + to, to, lora);
    add(std::string("(IA)^3 to ") + to, to, ia3);
  }
  add("LoRA of convolutions to peft", "peft", conv);
  add("(IA)^3 of convolutions to peft", "peft", delta_text(resnet, "ia3"));
  for (const auto& [name, text] : {std::pair{"adapters", adapter}, {"Compacter", compacter}, {"a head", lp}})
    add(std::string(name) + " to AdapterHub", "adapterhub", text);

  add("nothing to do", "elsewhere", lora, "expected a layout or a net with a strategy");
  add("no delta", "peft", "tensors\nx F32 1", "expected a delta that a run wrote");
  changed("another format", "vit.lora", lora, "taut-delta-1", "taut-delta-2", "delta's format");
  changed("another strategy", "vit.lora", lora, "@strategy lora", "@strategy lp", "delta's strategy");
  changed("a strategy that there is not", "peft", lora, "@strategy lora", "@strategy \x1b[31m", "delta's strategy");
  changed("another base", "vit.lora", lora, "@base_sha256 base", "@base_sha256 less", "delta's base_sha256");
  changed("a model of 2000 bytes", "vit.lora", lora, "@model vit", "@model " + std::string(2000, 'x'), "delta's model");
  changed("another shape", "vit.lora", lora, "lora_A F32 2,8", "lora_A F32 8,2", "expected f32 (2, 8), got");
  changed("another type", "vit.lora", lora, "lora_A F32", "lora_A F64", "expected f32 (2, 8), got");
  changed("a head that misses", "vit.lora", lora, "heads.default.1.bias", "heads.default.2.bias", "expected a tensor");
  add("one tensor more", "vit.lora", lora + "\n\x1b]0;x\x07 F32 1", "'\\x1b]0;x\\x07' is unexpected");
  changed("statistics of another width", "resnet.lora", conv, "running_mean F32 4", "running_mean F32 5",
          "expected f32 (4), got");
  for (const auto& [what, by] : {std::pair{"rank 2", "rank x"},
                                 {"rank 2", "rank 99999999999999999999"},
                                 {"rank 2", "rank"},
                                 {"alpha 8", "alpha 1e999"}})
    changed(std::string("options: ") + by, "peft", lora, what, by, "expected numbers in the delta's options");
  for (const auto& [what, by] : {std::pair{"rank 2", "rank 0"}, {"rank 2", "rank -1"}, {"alpha 8", "alpha nan"}})
    changed(std::string("options: ") + by, "peft", lora, what, by, "expected a rank >= 1 and a finite alpha");
  changed("options that are none", "peft", lora, "mode fixed", std::string(2000, '\x1b'), "");
  changed("a head that is a scalar", "peft", lora, "heads.default.1.weight F32 3,8", "heads.default.1.weight F32",
          "with a head");
  changed("a head that is not there", "peft", lora, "heads.default.1.weight", "x", "with a head");
  changed("a bottleneck that is a scalar", "adapterhub", adapter, "adapter_down.0.bias F32 4",
          "adapter_down.0.bias F32", "adapter_down.0.bias': expected a bias of (bottleneck), got ()");
  changed("a bottleneck of nothing", "adapterhub", compacter, "adapter_down.0.b F32 4", "adapter_down.0.b F32 0",
          "expected a bias of (bottleneck), got (0)");
  changed("no bottlenecks", "adapterhub", lora, "@strategy lora", "@strategy adapter",
          "expected bottlenecks, got none");
  add("two tensors of one name", "peft", lora + "\na.loras.lora.lora_A F32 2,8\na.lora_A.weight F32 2,8",
      "two tensors are 'base_model.model.a.lora_A.weight'");
  add("adapters to peft", "peft", adapter, "peft has no type for what 'adapter' trains");
  add("a net to AdapterHub", "adapterhub", conv, "AdapterHub's library has transformers only");
  add("a net to transformers 5", "peft_v5", conv, "only ViTs have names that changed");
  add("a type nobody reads", "peft", lora + "\nx F8_E4M3 2", "got F8_E4M3");
  add("names of dots", "peft", conv + "\n. F32 1\n.. F32 1\n.ia3 F32 1\n0.lora_A F32 1", "");
  return seeds;
}

}  // namespace taut::fuzz
