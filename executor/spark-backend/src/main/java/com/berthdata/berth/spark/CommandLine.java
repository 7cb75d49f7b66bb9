package com.berthdata.berth.spark;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.regex.Pattern;

/**
 * Splits a string of JVM options as Spark does: at blanks, with single and double quotes, and a
 * backslash before the next character outside of single quotes. Spark's own function returns another
 * type in each version.
 */
final class CommandLine {
  private static final Pattern PLAIN = Pattern.compile("[^\\s'\"\\\\]+");

  private CommandLine() {}

  static List<String> split(String text) {
    List<String> out = new ArrayList<>();
    StringBuilder word = new StringBuilder();
    boolean inWord = false;
    char quote = 0;
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '\\' && quote != '\'' && i + 1 < text.length()) {
        word.append(text.charAt(++i));
        inWord = true;
      } else if (quote != 0) {
        if (c == quote) {
          quote = 0;
        } else {
          word.append(c);
        }
      } else if (c == '\'' || c == '"') {
        quote = c;
        inWord = true; // '' is an empty argument
      } else if (Character.isWhitespace(c)) {
        if (inWord) {
          out.add(word.toString());
          word.setLength(0);
          inWord = false;
        }
      } else {
        word.append(c);
        inWord = true;
      }
    }
    if (inWord) {
      out.add(word.toString());
    }
    return out;
  }

  /** What split makes the same words of. */
  static String join(List<String> words) {
    StringBuilder out = new StringBuilder();
    for (String w : words) {
      if (out.length() > 0) {
        out.append(' ');
      }
      if (PLAIN.matcher(w).matches()) {
        out.append(w);
      } else {
        out.append('"').append(w.replace("\\", "\\\\").replace("\"", "\\\"")).append('"');
      }
    }
    return out.toString();
  }

  /** Without words that come again later: of JVM options the last one counts. */
  static List<String> withoutRepetitions(List<String> words) {
    LinkedHashSet<String> seen = new LinkedHashSet<>();
    for (String w : words) {
      seen.remove(w);
      seen.add(w);
    }
    return new ArrayList<>(seen);
  }
}
