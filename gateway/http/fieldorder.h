/*
 * The order in which a client writes its fields, as a short text: a program has one of its own,
 * and what only names another program in User-Agent keeps its own.
 *
 *     h1-07-2f9be1c04d33
 *
 * The version of HTTP, how many fields, and half of a SHA-256 of their names, small, in the
 * order in which they came. Fields that come and go with the request (a cookie, a condition, a
 * body) or that a proxy adds do not count. Of HTTP/2, Host is left out: there it is no field.
 */
#ifndef SALLYPORT_FIELDORDER_H
#define SALLYPORT_FIELDORDER_H

#include "gateway/http/fields.h"

enum { FIELD_ORDER_BYTES = 18 };

void fields_order(const struct fields *fields, bool http2, char out[static FIELD_ORDER_BYTES]);

#endif
