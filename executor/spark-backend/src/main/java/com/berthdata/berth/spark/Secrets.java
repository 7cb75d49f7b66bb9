package com.berthdata.berth.spark;

import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What must not leave the driver: settings whose name looks like a secret by Spark's own rule
 * (spark.redaction.regex) or by ours, and values that carry credentials whatever their name. Names of
 * what was withheld are kept for Berth, which has the values from the submission.
 */
final class Secrets {
  private static final Pattern NAMES = Pattern.compile(
      "secret|passw(or)?d|passphrase|token|credential|access[._-]?key|api[._-]?key|private[._-]?key|account[._-]?key"
          + "|sas[._-]?key|jaas|keytab[._-]?data",
      Pattern.CASE_INSENSITIVE);
  private static final Pattern VALUES = Pattern.compile(
      // user:password@ in an address; a key in PEM; Azure's and Kafka's ways of writing one into a value
      "://[^/\\s:@]+:[^/\\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY|(AccountKey|SharedAccessKey|password)\\s*=\\s*[^\\s;]",
      Pattern.CASE_INSENSITIVE);
  /** Look like secrets and are none. */
  private static final Set<String> HARMLESS = new HashSet<>(Arrays.asList(
      "spark.authenticate.secretBitLength", "spark.authenticate.secret.file", "spark.authenticate.secret.file.driver",
      "spark.authenticate.secret.file.executor"));

  private final Pattern configured; // null: none
  private final Set<String> withheld = new TreeSet<>();

  /** redactionRegex is spark.redaction.regex as the user has set it, "" where not. */
  Secrets(String redactionRegex) {
    this.configured = redactionRegex.isEmpty() ? null : compiled(redactionRegex);
  }

  private static Pattern compiled(String regex) {
    try {
      return Pattern.compile(regex);
    } catch (PatternSyntaxException e) {
      throw new IllegalArgumentException("spark.redaction.regex: " + e.getMessage(), e);
    }
  }

  /** Whether a setting may be sent; one that may not is recorded under shownAs. */
  boolean allows(String name, String value, String shownAs) {
    boolean secret = NAMES.matcher(name).find() && !HARMLESS.contains(name)
        || VALUES.matcher(value).find()
        || configured != null && configured.matcher(name).find();
    if (secret) {
      withheld.add(shownAs);
    }
    return !secret;
  }

  /** Whether an argument of the JVM may be sent: -Dname=value is judged as a setting. */
  boolean allowsArgument(String argument) {
    if (argument.startsWith("-D")) {
      int eq = argument.indexOf('=');
      String name = eq < 0 ? argument.substring(2) : argument.substring(2, eq);
      return allows(name, eq < 0 ? "" : argument.substring(eq + 1), "-D" + name);
    }
    if (VALUES.matcher(argument).find()) {
      withheld.add(Messages.cut(argument.split("[=:]", 2)[0], 40));
      return false;
    }
    return true;
  }

  /** Names of what was withheld so far. */
  Collection<String> withheld() {
    return withheld;
  }
}
