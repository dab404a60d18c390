/* Messages through all phases. */
#include "tests/reference/wire.h"

bool wire_inspects(const struct response *rsp)
{
    static const char *const types[] = { "text/plain", "text/html", "text/xml",
                                         "application/json", "application/xml" };
    struct span type = fields_value(&rsp->fields, FIELD_CONTENT_TYPE), media;
    if (!span_cut(&type, ';', &media))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (span_equal_nocase(span_trim(media), span_text(types[i])))
            return true;
    }
    return false;
}

void reference_run(struct reference *ref, const struct wire *wire)
{
    const struct sec_settings *settings = &ref->program->settings;
    struct transaction *txn = ref->txn;
    transaction_head(txn, &wire->req);
    reference_begin(ref);
    reference_phase(ref, SEC_REQUEST_HEADERS);
    if (txn->has_body && ref->request_body)
        transaction_body(txn, wire->body,
                         &(struct transaction_reading){
                             .processor = ref->processor,
                             .force_variable = ref->force_variable,
                             .separator = settings->argument_separator,
                             .json_depth = (unsigned)settings->json_depth_limit,
                         });
    reference_phase(ref, SEC_REQUEST_BODY);
    if (wire->answered) {
        transaction_answer(txn, &wire->rsp);
        reference_phase(ref, SEC_RESPONSE_HEADERS);
        if (ref->response_body && wire_inspects(&wire->rsp))
            transaction_answer_body(txn, wire->answer);
        reference_phase(ref, SEC_RESPONSE_BODY);
    }
    reference_phase(ref, SEC_LOGGING);
    reference_end(ref);
}
