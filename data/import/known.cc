#include "data/import/known.h"

#include <algorithm>

#include "kernels/error.h"
#include "tensor/nearest.h"

namespace taut {

const std::vector<KnownDataset>& known_datasets() {
  static const std::vector<KnownDataset> known = {
      {"cifar10", "cifar-10-binary.tar.gz", "data_batch_1..5.bin, test_batch.bin, batches.meta.txt", 10, 50'000, 10'000,
       60'000, "none stated (Krizhevsky 2009)", ""},
      {"cifar100", "cifar-100-binary.tar.gz", "train.bin, test.bin, fine_label_names.txt; fine labels", 100, 50'000,
       10'000, 60'000, "none stated (Krizhevsky 2009)", ""},
      {"caltech256", "256_ObjectCategories.tar", "256_ObjectCategories/NNN.name/NNN_IIII.jpg, 257 with clutter", 257, 0,
       0, 30'607, "research use (Griffin, Holub, Perona 2007)", ""},
      {"cub200", "CUB_200_2011.tgz", "images.txt, image_class_labels.txt, train_test_split.txt, classes.txt, images/",
       200, 5'994, 5'794, 11'788, "non-commercial research (Wah et al. 2011)", ""},
      {"stanford_dogs", "images.tar lists.tar", "Images/nXXXXXXXX-Breed/*.jpg, train_list.mat, test_list.mat", 120,
       12'000, 8'580, 20'580, "ImageNet's terms: non-commercial research (Khosla et al. 2011)",
       "The images of Stanford Dogs come from ImageNet: a model pre-trained on ImageNet may have seen them."},
      {"domainnet",
       "clipart.zip ... sketch.zip and the lists DOMAIN_train.txt, DOMAIN_test.txt",
       "DOMAIN/class/*.jpg; lines of a list: path label",
       345,
       409'832,
       176'743,
       586'575,
       "fair use, non-commercial research (Peng et al. 2019)",
       "Counts are those of the cleaned version; the first version of clipart and painting has others.",
       {{"clipart", 33'525, 14'604},
        {"infograph", 36'023, 15'582},
        {"painting", 50'416, 21'850},
        {"quickdraw", 120'750, 51'750},
        {"real", 120'906, 52'041},
        {"sketch", 48'212, 20'916}}},
      {"caltech101", "101_ObjectCategories.tar.gz, out of caltech-101.zip",
       "CLASS/*.jpg or {train,test}/CLASS/*.jpg, BACKGROUND_Google skipped", 101, 0, 0, 8'677,
       "research use (Fei-Fei, Fergus, Perona 2004)", ""},
      {"grocery81", "GroceryStoreDataset.zip", "train.txt, val.txt, test.txt, classes.csv, or {train,test}/CLASS/*.jpg",
       81, 2'640, 2'485, 0, "MIT (Klasson, Zhang, Kjellstrom 2019)", ""},
      {"pacs", "PACS.zip, or a folder", "DOMAIN/CLASS/*: photo, art_painting, cartoon, sketch", 7, 0, 0, 9'991,
       "research use (Li et al. 2017)", ""},
      {"imagenet_folder", "a folder, or archives of it", "{train,val}/CLASS/*", 1'000, 1'281'167, 50'000, 1'331'167,
       "ImageNet's terms: non-commercial research", ""},
      {"idx", "the IDX files, plain or gzipped", "train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte[.gz], t10k-...",
       0, 0, 0, 0, "as the files'", ""},
      {"folder", "an archive or a folder", "CLASS/*, {train,val,test}/CLASS/* or DOMAIN/CLASS/*", 0, 0, 0, 0,
       "as the images'", ""},
      {"folder_csv", "an archive or a folder",
       "labels.csv: file,class_index[,class_name][,split][,domain], and the files", 0, 0, 0, 0, "as the images'", ""},
  };
  return known;
}

const KnownDataset& known_dataset(const std::string& name) {
  std::vector<std::string> names;
  for (const KnownDataset& k : known_datasets()) {
    if (k.name == name) return k;
    names.emplace_back(k.name);
  }
  fail(Exit::kUsage, "[data import] there is no data set '{}'; hint: {} (`taut data ls` lists all)", name,
       did_you_mean(name, names));
}

const char* counts_sentence(const std::string& name, bool complete) {
  if (!complete) return "The import is not complete.";
  const bool has_counts = std::ranges::any_of(known_datasets(), [&](const KnownDataset& k) {
    return k.name == name && (k.classes > 0 || k.train > 0 || k.test > 0 || k.images > 0);
  });
  return has_counts ? "The known counts are reached." : "No counts are known to compare it with.";
}

}  // namespace taut
