package com.berthdata.berth.spark;

import java.util.ArrayList;
import java.util.List;

/**
 * {@code spark-berth://host:port[,host:port…]}, with TLS {@code spark-berths://…}. spark-submit takes
 * no master URL of an unknown kind unless it begins with "spark".
 */
final class MasterUrl {
  private static final String PLAIN = "spark-berth://";
  private static final String TLS = "spark-berths://";

  private MasterUrl() {}

  static boolean isOurs(String url) {
    return url.startsWith(PLAIN) || url.startsWith(TLS);
  }

  /** The addresses of Berth's API that the URL names, none when it has only its scheme. */
  static List<String> addresses(String url) {
    String scheme = url.startsWith(TLS) ? "https://" : "http://";
    List<String> out = new ArrayList<>();
    for (String host : url.substring(url.indexOf("://") + 3).split(",")) {
      String trimmed = host.trim();
      if (!trimmed.isEmpty()) {
        out.add(scheme + trimmed);
      }
    }
    return out;
  }
}
