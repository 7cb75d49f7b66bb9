package com.berthdata.berth.spark;

import java.net.URI;
import java.net.URISyntaxException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Pattern;

/**
 * Who this driver is and whom it asks, all from the environment: a DStream checkpoint brings back the
 * configuration of an older attempt, so no configuration has a say in it.
 */
final class Identity {
  static final String APP_ID = "BERTH_SPARK_APP_ID";
  static final String ATTEMPT_ID = "BERTH_SPARK_ATTEMPT_ID";
  static final String TOKEN_FILE = "BERTH_SPARK_TOKEN_FILE";
  static final String TOKEN = "BERTH_SPARK_TOKEN";
  static final String URLS = "BERTH_SPARK_URLS";
  static final String CA_FILE = "BERTH_SPARK_CA_FILE";
  static final String TASK_ID = "MESOS_TASK_ID";

  private static final int MAX_ADDRESSES = 16;
  private static final Pattern APP_IDS = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}");

  final String appId;
  final int attemptId;
  /** Base addresses of Berth's API, without a slash at the end. */
  final List<String> addresses;
  final TokenSource token;
  /** Certificates to trust; "" is Java's own trust store. */
  final String caFile;
  /** The driver's Mesos task; "" outside of Mesos. */
  final String taskId;

  private Identity(String appId, int attemptId, List<String> addresses, TokenSource token, String caFile, String taskId) {
    this.appId = appId;
    this.attemptId = attemptId;
    this.addresses = addresses;
    this.token = token;
    this.caFile = caFile;
    this.taskId = taskId;
  }

  static Identity of(Map<String, String> env, String masterUrl) {
    String appId = required(env, APP_ID);
    if (!APP_IDS.matcher(appId).matches()) {
      throw wrong(APP_ID, appId, "want letters, digits, '.', '_' and '-', at most 128");
    }
    int attempt;
    try {
      attempt = Integer.parseInt(required(env, ATTEMPT_ID));
    } catch (NumberFormatException e) {
      attempt = 0;
    }
    if (attempt < 1) {
      throw wrong(ATTEMPT_ID, env.get(ATTEMPT_ID), "want a whole number from 1 to 2147483647");
    }
    return new Identity(appId, attempt, addresses(env, masterUrl), token(env), get(env, CA_FILE), get(env, TASK_ID));
  }

  private static TokenSource token(Map<String, String> env) {
    String file = get(env, TOKEN_FILE);
    if (!file.isEmpty()) {
      return TokenSource.ofFile(file);
    }
    String token = get(env, TOKEN);
    if (token.isEmpty()) {
      throw new IllegalStateException("neither " + TOKEN_FILE + " nor " + TOKEN + " is set in the driver's environment: "
          + "Berth sets one of them for drivers that it starts");
    }
    return TokenSource.ofValue(token);
  }

  private static List<String> addresses(Map<String, String> env, String masterUrl) {
    List<String> out = new ArrayList<>();
    String where = URLS;
    for (String url : get(env, URLS).split(",")) {
      if (!url.trim().isEmpty()) {
        out.add(base(URLS, url.trim()));
      }
    }
    if (out.isEmpty()) {
      where = "the master URL";
      for (String url : MasterUrl.addresses(masterUrl)) {
        out.add(base(where, url));
      }
    }
    if (out.isEmpty() || out.size() > MAX_ADDRESSES) {
      throw new IllegalStateException(out.size() + " addresses of Berth in " + where + ": want 1 to " + MAX_ADDRESSES
          + ", as in spark-berth://host:port,host:port or " + URLS + "=https://host:port");
    }
    return out;
  }

  private static String base(String where, String url) {
    try {
      URI u = new URI(url);
      String scheme = u.getScheme() == null ? "" : u.getScheme().toLowerCase(Locale.ROOT);
      boolean plain = u.getRawUserInfo() == null && u.getRawQuery() == null && u.getRawFragment() == null
          && (u.getRawPath().isEmpty() || u.getRawPath().equals("/"));
      if (plain && u.getHost() != null && (scheme.equals("http") || scheme.equals("https"))) {
        return scheme + "://" + u.getRawAuthority();
      }
    } catch (URISyntaxException | NullPointerException e) {
      // the message below says it; an opaque URI has no path at all
    }
    throw wrong(where, url, "want an address such as https://berth.example:8080");
  }

  private static String required(Map<String, String> env, String name) {
    String value = get(env, name);
    if (value.isEmpty()) {
      throw new IllegalStateException(name + " is not set in the driver's environment: drivers with this master run under"
          + " Berth, which sets it. Submit the application to Berth instead of starting it by hand");
    }
    return value;
  }

  private static String get(Map<String, String> env, String name) {
    String value = env.get(name);
    return value == null ? "" : value.trim();
  }

  private static IllegalStateException wrong(String where, String value, String want) {
    return new IllegalStateException(where + ": \"" + value + "\": " + want);
  }
}
