// The paper's four claims, judged on a study.
//
// A claim is judged in parts, each one number with its 95 % interval (statistics.h) and a bound: confirmed where the
// whole interval is on the claim's side of the bound, refuted where it is on the other, undecided where it holds the
// bound. A claim is refuted where a part that counts is, confirmed where all of them are, else undecided. Parts that do
// not count are the sizes the paper gives (judged where the study follows its protocol) and what small studies put in
// the place of its data sets.
//
//   1  robustness rises first and falls later, on every data set that is attacked, with three evaluations; means over
//      the strategies:
//        rise   robust accuracy at its peak between the first and the last evaluation minus that at the first > 1 point
//        fall   at its peak minus at the last > 1 point
//      Confirmed by the peak picked on one half of the images and measured on the other; refuted only where even the
//      peak picked and measured on the same images, which is too high, stays under the bound. A rise is refuted only
//      where the first evaluation is before the first update, a fall only where the course is of kEarlySteps updates or
//      more, by which the paper's have fallen, or the paper's own, as CUB-200's of 860: either may have gone before or
//      be still to come.
//   2  BitFit is best on CIFAR-10 and CIFAR-100   3  Compacter is best on Caltech-256 and CUB-200:
//        best   its area minus that of each other strategy > 0: confirmed where all seven have an area and all
//               differences have their 95 % interval above 0; refuted where one has its interval below 0 at the level
//               1 - 5 % / rivals (Bonferroni, since one rival of several is enough)
//   4  accuracy on other domains tracks accuracy, on every data set that is judged on them:
//        tracks          correlation of the probits of accuracy out of and in domain over all evaluations after the
//                        first update > 0.7: accuracy in domain explains half of the variance
//        no trade-off    accuracy out of domain at its peak between the first and the last evaluation minus that at the
//                        last < 1 point, with the peaks of `fall` and the roles of confirming and refuting exchanged
//        full highest, lp lowest    as `best`, of the accuracy on all other domains together at the end
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "study/check/paper.h"
#include "study/check/statistics.h"

namespace taut::study {

inline constexpr double kOnePoint = 0.01, kTracks = 0.7;

enum class Verdict { kConfirmed, kRefuted, kUndecided };
const char* name(Verdict verdict);

// A data set of the study, with what there is to judge it by.
struct StudiedDataset {
  std::string name;
  const PaperDataset* paper = nullptr;  // which of the paper's it is; null for another
  std::string not_the_papers;           // why, where the name says that it should be one
  std::vector<Departure> departures;    // of any of its runs
  std::string domain;                   // trained on
  bool attacked = false;                // its runs are; else their robust accuracy is the clean one
  bool judges_domains = false;          // its runs are judged on other domains
  int64_t planned = 0, done = 0;        // runs
  int64_t updates = 0;                  // the fewest that a run is set to; 0: as many as the epochs come to
  DatasetStatistics statistics;
};

struct ClaimPart {
  std::string part;  // "cifar10: best"
  Verdict verdict = Verdict::kUndecided;
  bool counts = true;         // for the verdict on the claim
  bool possible = true;       // the study plans what it takes
  bool refutable = true;      // to refute it, too
  std::string quantity = {};  // what was measured, in words
  std::optional<double> value = {}, low = {}, high = {};
  double level = 0.95;
  std::string bound = {};  // "> 0", "72 to 92"
  std::string limit = {};  // why it is not possible or not refutable
  std::string why = {};    // what else stands in the way of a verdict or should be known
};

struct Claim {
  int number = 0;
  std::string statement;
  std::vector<ClaimPart> parts = {};

  Verdict verdict() const;
  // "yes", "in part" (it can only refute the claim, or only confirm it) or "no".
  std::string speaks() const;
};

std::vector<Claim> judge_claims(const std::vector<StudiedDataset>& datasets, double level);

}  // namespace taut::study
