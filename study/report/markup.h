// Text that goes into a page or a table without becoming part of its grammar.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace taut::study {

// & < > " ' become entities; control characters other than tab and line feed, and bytes that are not UTF-8, become
// U+FFFD. Good for element contents and quoted attributes of HTML and SVG.
std::string html_escape(std::string_view text);

// One field of a CSV line (RFC 4180): quoted where needed. A leading = + - @ tab or carriage return gets a ' before it,
// so that no spreadsheet takes the text for a formula. Only for text: numbers are written as they are.
std::string csv_text(std::string_view text);

// A cell of a Markdown table: pipes and back-slashes escaped, line feeds to spaces, < to its entity.
std::string markdown_text(std::string_view text);

// Letters, digits and hyphens, at most 40, for file names and anchors; "x" for nothing.
std::string slug(std::string_view text);

std::string base64(std::span<const uint8_t> bytes);

}  // namespace taut::study
