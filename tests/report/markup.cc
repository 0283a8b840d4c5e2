// Text that would break out of its place, numbers as people read them, and PNG files read back by the decoder.
#include "study/report/markup.h"

#include <doctest/doctest.h>

#include <cmath>

#include "data/decode.h"
#include "kernels/error.h"
#include "study/report/html.h"
#include "study/report/png.h"
#include "study/report/svg.h"

namespace taut::study {
namespace {

TEST_CASE("HTML escapes all that has a meaning, keeps UTF-8 and marks what is not") {
  CHECK(html_escape("<script>alert('x')&\"</script>") == "&lt;script&gt;alert(&#39;x&#39;)&amp;&quot;&lt;/script&gt;");
  CHECK(html_escape("(IA)\xC2\xB3 \xE2\x86\x92 \xF0\x9F\x99\x82") == "(IA)\xC2\xB3 \xE2\x86\x92 \xF0\x9F\x99\x82");
  const std::string bad = "\xEF\xBF\xBD";
  CHECK(html_escape("a\xFFz") == "a" + bad + "z");
  CHECK(html_escape("\xC0\xBC") == bad + bad);            // an overlong <
  CHECK(html_escape("\xED\xA0\x80") == bad + bad + bad);  // a surrogate
  CHECK(html_escape("\xE2\x82") == bad + bad);            // cut short
  CHECK(html_escape(std::string("\0\x1b", 2)) == bad + bad);
}

TEST_CASE("CSV text is quoted where needed and never a formula") {
  CHECK(csv_text("plain") == "plain");
  CHECK(csv_text("a,b") == "\"a,b\"");
  CHECK(csv_text("say \"hi\"") == "\"say \"\"hi\"\"\"");
  CHECK(csv_text("two\nlines") == "\"two\nlines\"");
  for (const char* formula : {"=1+1", "+1", "-1", "@sum", "\tx"}) CHECK(csv_text(formula)[0] == '\'');
  CHECK(csv_text("=a,\"b\"") == "\"'=a,\"\"b\"\"\"");
}

TEST_CASE("Markdown cells stay cells, slugs stay in their folder, base64 is RFC 4648's") {
  CHECK(markdown_text("a|b\n<i>") == "a\\|b &lt;i>");
  CHECK(slug("../../etc/passwd") == "etc-passwd");
  CHECK(slug("CIFAR-10 (test)") == "cifar-10-test");
  CHECK(slug("\xC3\xA9") == "x");
  CHECK(slug(std::string(200, 'a')).size() == 40);
  const auto encoded = [](std::string_view text) {
    return base64(std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  };
  CHECK(encoded("") == "");
  CHECK(encoded("f") == "Zg==");
  CHECK(encoded("fo") == "Zm8=");
  CHECK(encoded("foobar") == "Zm9vYmFy");
}

TEST_CASE("numbers as people read them") {
  CHECK(grouped(0) == "0");
  CHECK(grouped(999) == "999");
  CHECK(grouped(1000) == "1,000");
  CHECK(grouped(-1234567) == "-1,234,567");
  CHECK(grouped(-100) == "-100");
  CHECK(flops_text(2.1e11) == "210\u00a0GFLOP");
  CHECK(flops_text(999.7) == "1\u00a0kFLOP");
  CHECK(seconds_text(3.24) == "3.2\u00a0s");
  CHECK(seconds_text(65) == "1\u00a0min\u00a005\u00a0s");
  CHECK(seconds_text(7260) == "2\u00a0h\u00a001\u00a0min");
}

TEST_CASE("a PNG decodes to the values it was made of, clamped and rounded") {
  const std::vector<float> x = {0.0f, 1.0f, 0.5f, -1.0f, 2.0f, std::nanf(""),  // red of 2 x 3 pixels
                                0.2f, 0.2f, 0.2f, 0.2f,  0.2f, 0.2f,           // green
                                0.0f, 0.1f, 0.3f, 0.4f,  0.6f, 0.9f};          // blue
  const Image image = decode_image(encode_png(x, 3, 2, 3), "made.png");
  CHECK(image.height == 2);
  CHECK(image.width == 3);
  const std::vector<uint8_t> expected = {0, 51, 0, 255, 51, 26, 128, 51, 77, 0, 51, 102, 255, 51, 153, 0, 51, 230};
  CHECK(image.pixels == expected);
  const Image grey = decode_image(encode_png(std::vector<float>{0.5f, 1.0f}, 1, 1, 2), "grey.png");
  CHECK(grey.pixels == std::vector<uint8_t>{128, 128, 128, 255, 255, 255});
  CHECK(png_data_uri(std::vector<float>{0.5f}, 1, 1, 1).starts_with("data:image/png;base64,iVBORw0KGgo"));
  CHECK_THROWS_AS(encode_png(x, 2, 3, 3), Error);
  CHECK_THROWS_AS(encode_png(x, 3, 2, 2), Error);
}

TEST_CASE("a drawing escapes its texts and writes numbers in one way") {
  Svg svg(10, 20, "a < b");
  svg.line({0, -0.001}, {1.234, 5.5}, {.colour = "#000"});
  svg.text({1, 2}, "<b>");
  svg.marker(Marker::kCircle, {3, 4}, 2, "#fff", true, "\"tip\"");
  const std::string out = svg.finish();
  CHECK(out.find("<title>a &lt; b</title>") != std::string::npos);
  CHECK(out.find("d=\"M0 0L1.23 5.5\"") != std::string::npos);
  CHECK(out.find("&lt;b&gt;</text>") != std::string::npos);
  CHECK(out.find("<title>&quot;tip&quot;</title></circle>") != std::string::npos);
  CHECK(out.ends_with("</svg>\n"));
}

}  // namespace
}  // namespace taut::study
